"""Messages piled up: which one is on which line, given heights that are partly guesses. Must not know the screen."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from tui.widgets.transcript.message import TranscriptMessage
from tui.widgets.transcript.rows import Row


class LinePosition(NamedTuple):
    """Where a line is."""

    message: int  # its index
    row: int  # of the message
    height: int  # of the message, when it was looked up
    width: int  # at which that was certain; 0 if it was a guess


class LineIndex:
    """Messages from top to bottom, at one width."""

    def __init__(self) -> None:
        self.messages: list[TranscriptMessage] = []
        self.width = 0
        self._tops = [0]  # of every message, and of what would come after the last

    @property
    def height(self) -> int:
        return self._tops[-1]

    def top(self, index: int) -> int:
        return self._tops[index]

    def measure(self, start: int = 0) -> None:
        """Take the heights from this message on anew."""
        heights = [message.height(self.width) for message in self.messages[start:]]
        self._tops[start:] = accumulate(heights, initial=self._tops[start])

    def find(self, line: int) -> LinePosition | None:
        """What is on this line; None beyond the end."""
        if not 0 <= line < self.height:
            return None
        index = bisect_right(self._tops, line) - 1
        width = self.width if self.messages[index].has_rows(self.width) else 0
        return LinePosition(index, line - self._tops[index], self._tops[index + 1] - self._tops[index], width)

    def row(self, position: LinePosition) -> Row | None:
        """None beyond the rows that the message turned out to have."""
        rows = self.messages[position.message].rows(self.width)
        return rows[position.row] if position.row < len(rows) else None

    def lay_out_end(self, n_lines: int) -> None:
        """Make sure of the last lines."""
        start = len(self.messages)
        while start and n_lines > 0:
            start -= 1
            n_lines -= len(self.messages[start].rows(self.width))
        self.measure(start)

    def lay_out(self, line: int, n_lines: int) -> int:
        """Make sure of the lines in view, and return the line that is now where `line` was.

        What was already certain stays where it is in view, and the guesses around it give way.
        """
        fixed = self._first_certain(line, line + n_lines)
        if fixed is None:  # into the unknown: as far into the message as the guess said
            if (position := self.find(line)) is None:
                return line
            line, fixed = self.restore(position), position.message
        distance = line - self.top(fixed)
        while (guess := self._first_guess(line, line + n_lines)) is not None:
            self.messages[guess].rows(self.width)
            self.measure(guess)
            line = max(self.top(fixed) + distance, 0)
        return line

    def _in_view(self, line: int, end: int) -> range:
        first = self.find(max(line, 0))
        last = self.find(min(end, self.height) - 1)
        return range(0) if first is None or last is None else range(first.message, last.message + 1)

    def _first_certain(self, line: int, end: int) -> int | None:
        return next((index for index in self._in_view(line, end) if self.messages[index].is_laid(self.width)), None)

    def _first_guess(self, line: int, end: int) -> int | None:
        return next((index for index in self._in_view(line, end) if not self.messages[index].is_laid(self.width)), None)

    def restore(self, position: LinePosition) -> int:
        """The line on which a position found earlier is now, in proportion where the rows are others than then."""
        height = len(self.messages[position.message].rows(self.width))
        self.measure(position.message)
        row = position.row if position.width == self.width else round(position.row / max(position.height, 1) * height)
        return self.top(position.message) + min(row, height - 1)
