"""The line of keys at the bottom, as many as fit whole: half a word is no help. Must not know what the keys do."""

from __future__ import annotations

from rich.cells import cell_len
from textual.widgets import Footer
from textual.widgets._footer import FooterKey


class KeyLine(Footer):
    """The first keys stay, and that of the command palette at the right, which leads to the others."""

    async def recompose(self) -> None:
        await super().recompose()
        self._fit()

    def on_resize(self) -> None:
        self._fit()

    def _fit(self) -> None:
        keys = list(self.query(FooterKey))
        room = self.size.width - sum(_width(key) for key in keys if key.has_class("-command-palette"))
        for key in keys:
            if not key.has_class("-command-palette"):
                room -= _width(key)
                key.display = room >= 0


def _width(key: FooterKey) -> int:
    return cell_len(key.render().plain) + key.gutter.width
