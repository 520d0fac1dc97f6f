"""Rows to choose one from, with columns that go where the room is short, and what there is to say of the chosen one.

Must not know what the rows are. The keys come from the screen, because what is typed goes elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from rich.cells import cell_len
from textual import events

from tui.widgets.panels.panel import Line, Panel, cut

Item = TypeVar("Item")

_FEWEST_ROWS = 2  # that stay in sight, however much there is to say


@dataclass(frozen=True, kw_only=True)
class Column(Generic[Item]):
    """One of the columns after the name."""

    title: str
    width: int
    said: Callable[[Item], str]
    align: Literal["<", ">"] = ">"

    def cell(self, text: str) -> str:
        room = self.width - 1
        return f" {cut(text, room):{self.align}{room}}"


class Table(Panel, Generic[Item]):
    """A table with a cursor."""

    NARROWEST_NAME: ClassVar[int] = 20
    """Cells; columns go before a name has fewer."""
    FEWEST_DETAILS: ClassVar[int] = 3
    """Lines below the rows that are kept free where there is nothing to say; more are taken from the rows."""

    DEFAULT_CSS = """
    Table {
        border: none;
        padding: 0;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shown: list[Item] = []
        self._at = self._top = 0

    # --- what a table of something says -------------------------------------------------------------------------------

    def columns(self) -> Sequence[Column[Item]]:
        """What matters least comes last, and goes first where the room is short."""
        raise NotImplementedError

    def name_of(self, item: Item) -> str:
        raise NotImplementedError

    def mark(self, item: Item) -> str:
        """Two cells before the name."""
        return "  "

    def is_faded(self, item: Item) -> bool:
        return False

    def instead(self) -> str:
        """What stands there where there are no rows."""
        return ""

    def details(self, width: int) -> list[Line]:
        """What there is to say below the rows."""
        raise NotImplementedError

    def open(self) -> None:
        """The chosen row is wanted."""
        raise NotImplementedError

    # --- choosing -----------------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> Item | None:
        return self._shown[self._at] if 0 <= self._at < len(self._shown) else None

    @property
    def shown(self) -> Sequence[Item]:
        return self._shown

    @property
    def first(self) -> int:
        """The lowest number the cursor can have; -1 is on no row."""
        return 0

    @property
    def page(self) -> int:
        """How many rows are in sight."""
        return self._page(len(self._below(self.size.width)))

    def move(self, rows: int) -> None:
        """So many rows down, at most to either end."""
        self.choose(self._at + rows)

    def choose(self, row: int) -> None:
        self._at = min(max(row, self.first), max(len(self._shown) - 1, self.first))
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        row = self._top + event.y - 1
        if event.y < 1 or event.y > self.page or row >= len(self._shown):
            return
        self.choose(row)
        if event.chain > 1:
            self.open()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.move(-1)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.move(1)

    # --- the picture --------------------------------------------------------------------------------------------------

    def lines(self, width: int, height: int) -> list[Line]:
        columns = _that_fit(self.columns(), width - self.NARROWEST_NAME - 2)
        below = self._below(width)
        room = self._page(len(below))
        at = max(self._at, 0)
        self._top = max(0, min(max(self._top, at - room + 1), at, len(self._shown) - room))
        rows = [self._line(number, columns, width) for number in range(self._top, self._top + room)]
        header = _row("  ", "name", [column.cell(column.title) for column in columns], width, "dim")
        return [header, *rows, [("─" * width, "dim")], *below]

    def _below(self, width: int) -> list[Line]:
        details = self.details(width)[: max(self.FEWEST_DETAILS - 1, self.size.height - _FEWEST_ROWS - 2)]
        return details + [[]] * (self.FEWEST_DETAILS - 1 - len(details))

    def _page(self, below: int) -> int:
        return max(1, self.size.height - 2 - below)

    def _line(self, number: int, columns: Sequence[Column[Item]], width: int) -> Line:
        if number >= len(self._shown):
            return [(f"  {self.instead()}", "dim")] if number == 0 else []
        item = self._shown[number]
        style = "dim" if self.is_faded(item) else ""
        if number == self._at:
            style = "bold $block-cursor-foreground on $block-cursor-background"
        cells = [column.cell(column.said(item)) for column in columns]
        return _row(self.mark(item), self.name_of(item), cells, width, style)


def _that_fit(columns: Sequence[Column[Item]], width: int) -> list[Column[Item]]:
    kept = list(columns)
    while kept and sum(column.width for column in kept) > width:
        kept.pop()
    return kept


def _row(mark: str, name: str, cells: Sequence[str], width: int, style: str) -> Line:
    room = max(1, width - len(mark) - sum(map(cell_len, cells)))
    name = cut(name, room)
    return [(mark, style), (name, style), (" " * (room - cell_len(name)), style), ("".join(cells), style)]
