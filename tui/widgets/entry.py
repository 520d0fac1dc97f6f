"""One message of the transcript: its text as it grows, and the rows it takes. Must not know the screen.

Rows are made only when asked for, so a thousand messages cost what is in view of them; till then heights are guesses.
"""

from __future__ import annotations

from typing import Literal

from textual.content import Content

from core.conversation import Role
from tui.sanitize import visible
from tui.widgets.blocks import Blocks
from tui.widgets.markdown import parse
from tui.widgets.rows import EMPTY, Block, Lead, Paragraph, Row

Level = Literal["info", "warning", "error"]

_NAMES = {"user": "You", "system": "System"}
_HEADINGS = {"user": "bold $text-accent", "assistant": "bold $text-primary", "system": "bold $text-secondary"}
_NOTES = {"info": ("· ", "$foreground 60%"), "warning": ("▲ ", "$text-warning"), "error": ("✖ ", "$text-error")}


class Entry:
    """A message of the conversation, or a note from the program itself.

    What the assistant says is Markdown; everything else is shown as it was written.
    """

    def __init__(self, role: Role | Literal["note"], text: str, *, name: str = "", level: Level = "info") -> None:
        self.role = role
        self._name = visible(name) or _NAMES.get(role, "Assistant")
        self._level = level
        self._suffix = ""
        self._begin(text)

    def _begin(self, text: str) -> None:
        self._parts = [text]
        self._length = self._n_lines = 0
        self._shown: list[str] = []  # what of it can be shown, while there is no one to show it to
        self._return = ""  # a carriage return at the end, of which we do not know yet whether a newline follows
        self._blocks = Blocks()
        self._closed: list[list[Block]] = []  # parsed once
        self._width = 0
        self._rows: list[Row] = []
        self._fixed = 0  # how many of the rows will not change any more at this width
        self._placed = 0  # how many closed blocks these are
        self._fresh = True
        self._take(text)

    @property
    def text(self) -> str:
        """What was said, unchanged."""
        if len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
        return self._parts[0]

    def append(self, text: str) -> None:
        self._parts.append(text)
        self._take(text)

    def replace(self, text: str) -> None:
        if text != self.text:
            self._begin(text)

    def rename(self, name: str) -> None:
        self._name = visible(name)
        self._width = 0  # all rows anew

    def finish(self, suffix: str) -> None:
        """Nothing more is coming."""
        self._suffix = visible(suffix)
        self._take("", last=True)

    def has_rows(self, width: int) -> bool:
        """Whether the height is no guess, but that of the rows it has at this width, or had before its text grew."""
        return self._width == width

    def is_laid(self, width: int) -> bool:
        """Whether all of its rows are made."""
        return self._width == width and not self._fresh

    def height(self, width: int) -> int:
        if self.has_rows(width):
            return len(self._rows)
        return 3 + self._n_lines + self._length // max(width, 1)

    def rows(self, width: int) -> list[Row]:
        """All rows at this width. The list is kept and changed by the next call."""
        if not self.is_laid(width):
            if self._width != width:
                self._width, self._rows, self._fixed, self._placed = width, [], 0, 0
            del self._rows[self._fixed :]
            self._lay_out()
            self._fresh = False
        return self._rows

    @property
    def body(self) -> range:
        """Which of the rows hold what was said, as last laid out."""
        return range(self.role != "note", len(self._rows) - 1 - bool(self._suffix))

    def _take(self, text: str, *, last: bool = False) -> None:
        text = self._return + text
        self._return = "\r" if text.endswith("\r") and not last else ""
        shown = visible(text.removesuffix("\r") if self._return else text)
        self._shown.append(shown)
        self._length += len(shown)
        self._n_lines += shown.count("\n")
        self._fresh = True

    def _lay_out(self) -> None:
        if self.role == "note":
            sign, style = _NOTES[self._level]
            self._place(self._plain(style, Lead(Content.styled(sign, style), Content("  "))))
        elif self.role == "assistant":
            self._place_markdown()
        else:
            self._place_heading()
            self._place(self._plain())
        if self._suffix:
            self._place([Paragraph(Content.styled(self._suffix, "$foreground 60% italic"))])
        self._rows.append(Row(EMPTY))

    def _plain(self, style: str = "", lead: Lead | None = None) -> list[Block]:
        self._shown = ["".join(self._shown)]
        return [Paragraph(Content.styled(self._shown[0].expandtabs(4), style), lead)]

    def _place_markdown(self) -> None:
        """Closed blocks are parsed once and broken into rows once for a width; only the open one is redone."""
        if not self._fixed:
            self._place_heading()
        self._blocks.append("".join(self._shown))
        self._shown = []
        self._closed.extend(parse(source) for source in self._blocks.closed[len(self._closed) :])
        for blocks in self._closed[self._placed :]:
            self._place_apart(blocks)
        self._placed = len(self._closed)
        self._fixed = len(self._rows)
        self._place_apart(parse(self._blocks.open))

    def _place_heading(self) -> None:
        self._place([Paragraph(Content.styled(self._name, _HEADINGS[self.role]))])

    def _place_apart(self, blocks: list[Block]) -> None:
        if blocks and len(self._rows) > 1:
            self._rows.append(Row(EMPTY))
        self._place(blocks)

    def _place(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._rows.extend(block.rows(self._width))
