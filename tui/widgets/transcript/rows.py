"""Blocks of text, and the rows they take at a width. Must not know Markdown, the screen or the theme's colours.

A block does not depend on the width, so a new width means only new breaks. A row is a slice: what is drawn of it is
made when it comes into view.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from tui.widgets.transcript.wrapping import wrap

EMPTY = Content("")


class Row:
    """One line of the screen."""

    __slots__ = ("_content", "_end", "_start", "fill", "joint", "lead", "wrapped")

    def __init__(
        self,
        content: Content,
        start: int = 0,
        end: int | None = None,
        *,
        lead: Content = EMPTY,
        joint: str = "\n",
        wrapped: bool = False,
        fill: str = "",
    ) -> None:
        self._content, self._start, self._end = content, start, len(content) if end is None else end
        self.lead = lead
        self.joint = joint  # what stands between this row and the next in the text itself
        self.wrapped = wrapped  # goes on from the row before: its lead is not part of the text
        self.fill = fill  # the style of the whole row, to the edge

    @property
    def plain(self) -> str:
        return self.lead.plain + self._content.plain[self._start : self._end]

    @property
    def line(self) -> Content:
        return self.lead + self._content[self._start : self._end]

    def is_same(self, other: Row) -> bool:
        """Whether it can stand for another: it looks the same and is copied the same."""
        if self is other:
            return True
        alike = self.plain == other.plain and len(self.lead) == len(other.lead) and self.line.is_same(other.line)
        return alike and (self.fill, self.joint, self.wrapped) == (other.fill, other.joint, other.wrapped)

    def copied(self, start: int = 0, end: int | None = None) -> str:
        """The part of `plain` between two places that belongs to the text."""
        return self.plain[max(start, len(self.lead) if self.wrapped else 0) : end]


class Block(Protocol):
    """Something that takes rows."""

    def rows(self, width: int) -> list[Row]:
        """The rows at this width; never none, and the last one's joint is a newline."""
        ...


class Lead(NamedTuple):
    """What stands before the first row of a block, and before the others; both are as wide."""

    first: Content = EMPTY
    rest: Content = EMPTY

    def within(self, width: int) -> Lead:
        """Deeply nested text keeps at least half of the width."""
        if self.first.cell_length <= width // 2:
            return self
        return Lead(*(Content(set_cell_size(part.plain, width // 2)) for part in self))


class Paragraph:
    """Text that is wrapped; it may hold line breaks of its own."""

    def __init__(self, content: Content, lead: Lead | None = None, *, fold: bool = False, fill: str = "") -> None:
        self._content = content
        self._lead = lead or Lead()
        self._fold = fold
        self._fill = fill

    def rows(self, width: int) -> list[Row]:
        lead = self._lead.within(width)
        rows: list[Row] = []
        before, wrapped = lead.first, False
        room = width - lead.first.cell_length
        for start, end, joint in wrap(self._content.plain, room, fold=self._fold):
            rows.append(
                Row(self._content, start, end, lead=before, joint=joint, wrapped=wrapped, fill=self._fill),
            )
            before, wrapped = lead.rest, joint != "\n"
        rows[-1].joint = "\n"
        return rows


class Rule:
    """A line across."""

    def __init__(self, lead: Lead, style: str) -> None:
        self._lead = lead
        self._style = style

    def rows(self, width: int) -> list[Row]:
        lead = self._lead.within(width)
        return [Row(Content.styled("─" * max(width - lead.first.cell_length, 1), self._style), lead=lead.first)]


class Table:
    """Cells in columns; where they do not fit, each row becomes a list of its cells."""

    def __init__(self, lead: Lead, header: Sequence[Content], body: Sequence[Sequence[Content]], style: str) -> None:
        self._lead = lead
        self._header = header
        self._body = body
        self._style = style

    def rows(self, width: int) -> list[Row]:
        lead = self._lead.within(width)
        gaps = 3 * (len(self._header) - 1)
        widths = _shared(width - lead.first.cell_length - gaps, self._natural_widths())
        lines = self._grid(widths) if widths else self._list(width - lead.first.cell_length)
        return [Row(line, lead=lead.rest if number else lead.first) for number, line in enumerate(lines)]

    def _natural_widths(self) -> list[int]:
        table = [self._header, *self._body]
        return [max(row[column].cell_length for row in table) for column in range(len(self._header))]

    def _grid(self, widths: list[int]) -> list[Content]:
        rule = Content.styled("─┼─".join("─" * width for width in widths), self._style)
        lines = self._cells(self._header, widths)
        lines.append(rule)
        for cells in self._body:
            lines.extend(self._cells(cells, widths))
        return lines

    def _cells(self, cells: Sequence[Content], widths: list[int]) -> list[Content]:
        columns = [
            [cell[start:end] for start, end, _ in wrap(cell.plain, width)]
            for cell, width in zip(cells, widths, strict=True)
        ]
        bar = Content.styled(" │ ", self._style)
        lines = []
        for number in range(max(map(len, columns))):
            parts = [column[number] if number < len(column) else EMPTY for column in columns]
            padded = [_padded(part, width) for part, width in zip(parts, widths, strict=True)]
            lines.append(bar.join(padded).rstrip())
        return lines

    def _list(self, width: int) -> list[Content]:
        lines: list[Content] = []
        for cells in self._body or [[EMPTY] * len(self._header)]:
            for name, cell in zip(self._header, cells, strict=True):
                both = name + ": " + cell
                lines.extend(both[start:end] for start, end, _ in wrap(both.plain, width))
            lines.append(EMPTY)
        return lines[:-1] or [EMPTY]


def _padded(content: Content, width: int) -> Content:
    return content + " " * max(width - cell_len(content.plain), 0)


def _shared(room: int, natural: list[int]) -> list[int] | None:
    """Widths that fit in the room, taking from the widest first; None where a column would be too narrow to read."""
    narrowest = [min(width, 6) for width in natural]
    if sum(narrowest) > room:
        return None
    widths = list(natural)
    while (excess := sum(widths) - room) > 0:
        widest = max(widths)
        next_widest = max((width for width in widths if width < widest), default=0)
        count = widths.count(widest)
        step = max(min(widest - next_widest, excess // count), 1)
        for index, width in enumerate(widths):
            if width == widest and excess > 0:
                taken = min(step, excess)
                widths[index] -= taken
                excess -= taken
    return [max(width, 1) for width in widths]
