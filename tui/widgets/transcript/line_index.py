"""Messages piled up: which one is on which line, given heights that are partly guesses. Must not know the screen."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import NamedTuple

from tui.widgets.transcript.message import TranscriptMessage
from tui.widgets.transcript.rows import Row


class LinePosition(NamedTuple):
    """Where a line is."""

    entry: int
    row: int  # of the entry
    height: int  # of the entry, when it was looked up
    width: int  # at which that was certain; 0 if it was a guess


class LineIndex:
    """Entries from top to bottom, at one width."""

    def __init__(self) -> None:
        self.entries: list[TranscriptMessage] = []
        self.width = 0
        self._tops = [0]  # of every entry, and of what would come after the last

    @property
    def height(self) -> int:
        return self._tops[-1]

    def top(self, entry: int) -> int:
        return self._tops[entry]

    def measure(self, start: int = 0) -> None:
        """Take the heights from this entry on anew."""
        heights = [entry.height(self.width) for entry in self.entries[start:]]
        self._tops[start:] = accumulate(heights, initial=self._tops[start])

    def find(self, line: int) -> LinePosition | None:
        """What is on this line; None beyond the end."""
        if not 0 <= line < self.height:
            return None
        entry = bisect_right(self._tops, line) - 1
        width = self.width if self.entries[entry].has_rows(self.width) else 0
        return LinePosition(entry, line - self._tops[entry], self._tops[entry + 1] - self._tops[entry], width)

    def row(self, place: LinePosition) -> Row | None:
        """None beyond the rows that the entry turned out to have."""
        rows = self.entries[place.entry].rows(self.width)
        return rows[place.row] if place.row < len(rows) else None

    def lay_out_end(self, n_lines: int) -> None:
        """Make sure of the last lines."""
        start = len(self.entries)
        while start and n_lines > 0:
            start -= 1
            n_lines -= len(self.entries[start].rows(self.width))
        self.measure(start)

    def lay_out(self, line: int, n_lines: int) -> int:
        """Make sure of the lines in view, and return the line that is now where `line` was.

        What was already certain stays where it is in view, and the guesses around it give way.
        """
        fixed = self._first_certain(line, line + n_lines)
        if fixed is None:  # into the unknown: as far into the message as the guess said
            if (place := self.find(line)) is None:
                return line
            line, fixed = self.restore(place), place.entry
        distance = line - self.top(fixed)
        while (guess := self._first_guess(line, line + n_lines)) is not None:
            self.entries[guess].rows(self.width)
            self.measure(guess)
            line = max(self.top(fixed) + distance, 0)
        return line

    def _in_view(self, line: int, end: int) -> range:
        first = self.find(max(line, 0))
        last = self.find(min(end, self.height) - 1)
        return range(0) if first is None or last is None else range(first.entry, last.entry + 1)

    def _first_certain(self, line: int, end: int) -> int | None:
        return next((entry for entry in self._in_view(line, end) if self.entries[entry].is_laid(self.width)), None)

    def _first_guess(self, line: int, end: int) -> int | None:
        return next((entry for entry in self._in_view(line, end) if not self.entries[entry].is_laid(self.width)), None)

    def restore(self, place: LinePosition) -> int:
        """The line on which a place found earlier is now, in proportion where the rows are others than then."""
        height = len(self.entries[place.entry].rows(self.width))
        self.measure(place.entry)
        row = place.row if place.width == self.width else round(place.row / max(place.height, 1) * height)
        return self.top(place.entry) + min(row, height - 1)
