"""Long pieces of pasted text, each folded into a short label that stands for it. Must not know the widget.

An editor that wraps a megabyte at every key is of no use, and nobody reads it there. The label is unfolded when the
message is sent; it can be moved, copied and undone like text, and is deleted as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LONG = 2_000  # characters
MANY = 24  # lines
_LABEL = re.compile(r"\[pasted #\d+: [\d,]+ characters\]")


class Pastes:
    """What the labels of one message stand for."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._count = 0

    def fold(self, text: str) -> str:
        """A label in place of a long text; a short one is returned as it is."""
        if len(text) <= LONG and text.count("\n") < MANY:
            return text
        self._count += 1
        label = f"[pasted #{self._count}: {len(text):,} characters]"
        self._texts[label] = text
        return label

    def unfold(self, text: str) -> str:
        """The text with what its labels stand for."""
        return _LABEL.sub(lambda match: self._texts.get(match[0], match[0]), text) if self._texts else text

    def labels(self, line: str) -> Iterator[tuple[int, int]]:
        """Where labels start and end in a line."""
        if self._texts:
            yield from (match.span() for match in _LABEL.finditer(line) if match[0] in self._texts)

    def clear(self) -> None:
        """The message is gone. Numbers go on, so that no later label can be taken for an earlier one."""
        self._texts.clear()
