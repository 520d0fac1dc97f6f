"""What is in view at one moment, and where that differs from the moment before. Must not know the screen."""

from __future__ import annotations

from dataclasses import dataclass

from tui.widgets.transcript.line_index import LineIndex
from tui.widgets.transcript.rows import Row

_Line = tuple[int, int, Row | None] | None  # which row of which message, and the row


@dataclass(frozen=True, kw_only=True)
class Viewport:
    """Every line from the top one down."""

    top: int
    width: int
    is_end: bool  # nothing further down is hinted at
    lines: tuple[_Line, ...]

    @classmethod
    def of(cls, line_index: LineIndex, top: int, height: int, *, is_end: bool) -> Viewport:
        positions = [line_index.find(line) for line in range(top, top + height)]
        lines = tuple(position and (position.message, position.row, line_index.row(position)) for position in positions)
        return cls(top=top, width=line_index.width, is_end=is_end, lines=lines)

    def changes_from(self, before: Viewport) -> list[int] | None:
        """The lines that differ, because most words only make the last one longer; None: all of them may."""
        if self._frame != before._frame:
            return None
        pairs = zip(before.lines, self.lines, strict=True)
        return [y for y, (old, new) in enumerate(pairs) if not _is_same(old, new)]

    @property
    def _frame(self) -> tuple[int, int, bool, int]:
        return self.top, self.width, self.is_end, len(self.lines)


NOTHING = Viewport(top=0, width=0, is_end=False, lines=())


def _is_same(before: _Line, after: _Line) -> bool:
    """Whether two lines look alike and belong to the same place of the same message."""
    if before is None or after is None or before[2] is None or after[2] is None:
        return before == after
    return before[:2] == after[:2] and before[2].is_same(after[2])
