"""Markdown that is still being written, cut where later text can no longer change it. Must not know what it looks like.

A block at the top level is closed once the next one has begun with a whole line: nothing that follows can reach back
into it. Only the last block is looked at again when more text comes.
"""

from __future__ import annotations

from itertools import pairwise

from tui.widgets.transcript.markdown import parser


class MarkdownStream:
    """The closed blocks' sources in order, and the open rest."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.open = ""

    def append(self, text: str) -> None:
        """More of the source; it holds no line break but the newline."""
        self.open += text
        if "\n" in text:
            self._close()

    def _close(self) -> None:
        lines = self.open.splitlines(keepends=True)
        whole = len(lines) if self.open.endswith("\n") else len(lines) - 1
        starts = _starts("".join(lines[:whole]))
        for start, end in pairwise(starts):
            self.closed.append("".join(lines[start:end]))
        if len(starts) > 1:
            self.open = "".join(lines[starts[-1] :])


def _starts(source: str) -> list[int]:
    """The lines on which a block at the top level begins."""
    tokens = parser(inline=False).parse(source)
    return [token.map[0] for token in tokens if token.level == 0 and token.nesting >= 0 and token.map]
