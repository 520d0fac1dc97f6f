"""The models that are here, one a row, and what there is to say of the chosen one. Must not know where they come from.

Names and reasons come from strangers' files: they are shown as visible text and never as markup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rich.cells import cell_len
from textual import events
from textual.message import Message

from tui.sanitize import visible
from tui.widgets.numbers import data_size, magnitude
from tui.widgets.panel import Line, Panel, cut, fitting, wrapped
from weights.shelf import ShelfEntry

_DETAILS = 3  # lines below the rows
_NARROWEST_NAME = 20  # cells; columns go before a name has fewer


class Column(NamedTuple):
    """One of the columns after the name."""

    title: str
    width: int
    said: Callable[[ShelfEntry], str]


# What matters least goes first where the room is short.
_COLUMNS = (
    Column("parameters", 11, lambda e: magnitude(e.parameters) if e.parameters else ""),
    Column("size", 9, lambda e: data_size(e.bytes) if e.bytes else ""),
    Column("context", 9, lambda e: f"{e.context:,}" if e.context else ""),
    Column("family", 12, lambda e: visible(e.family or "")),
)


class ModelList(Panel):
    """Rows to choose from. The keys come from the screen, because what is typed filters."""

    DEFAULT_CSS = """
    ModelList {
        border: none;
        padding: 0;
    }
    """

    @dataclass
    class Opened(Message):
        """A person wants this one."""

        entry: ShelfEntry

    def __init__(self, current: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._current = current
        self._entries: Sequence[ShelfEntry] | None = None  # None: still looking
        self._shown: list[ShelfEntry] = []
        self._filter = ""
        self._failure = ""
        self._at = self._top = 0

    @property
    def chosen(self) -> ShelfEntry | None:
        return self._shown[self._at] if self._shown else None

    @property
    def shown(self) -> Sequence[ShelfEntry]:
        """Those that match what was typed."""
        return self._shown

    def fill(self, entries: Sequence[ShelfEntry], failure: str = "") -> None:
        """What was found, and why it may not be all."""
        self._entries, self._failure = entries, visible(failure)
        self._refilter()
        current = [number for number, entry in enumerate(self._shown) if entry.name == self._current]
        self._choose(current[0] if current else 0)

    def filter(self, text: str) -> None:
        """Only those that hold every one of these words."""
        chosen = self.chosen
        self._filter = text.lower()
        self._refilter()
        self._choose(self._shown.index(chosen) if chosen in self._shown else 0)

    def _refilter(self) -> None:
        words = self._filter.split()
        self._shown = [e for e in self._entries or () if all(w in f"{e.name} {e.family}".lower() for w in words)]

    # --- choosing -----------------------------------------------------------------------------------------------------

    def move(self, rows: int) -> None:
        """So many rows down, at most to either end."""
        self._choose(self._at + rows)

    @property
    def page(self) -> int:
        """How many rows are in sight."""
        return max(1, self.size.height - _DETAILS - 1)

    def open(self) -> None:
        """Tell that the chosen one is wanted, unless it cannot be."""
        if self.chosen is not None and self.chosen.problem is None:
            self.post_message(self.Opened(self.chosen))
        else:
            self.app.bell()

    def _choose(self, row: int) -> None:
        self._at = min(max(row, 0), max(len(self._shown) - 1, 0))
        self._top = min(max(self._top, self._at - self.page + 1), self._at)
        self.redraw()

    def on_click(self, event: events.Click) -> None:
        row = self._top + event.y - 1
        if event.y < 1 or event.y > self.page or row >= len(self._shown):
            return
        self._choose(row)
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
        columns = _that_fit(width)
        room = max(1, height - _DETAILS - 1)
        self._top = min(max(self._top, self._at - room + 1), self._at)
        rows = [self._row(number, columns, width) for number in range(self._top, self._top + room)]
        return [self._header(columns, width), *(row or self._instead(number) for number, row in enumerate(rows)),
                *self._details(width)]  # fmt: skip

    def _header(self, columns: Sequence[Column], width: int) -> Line:
        return _table_row("  ", "name", [column.title for column in columns], columns, width, "dim")

    def _row(self, number: int, columns: Sequence[Column], width: int) -> Line | None:
        if number >= len(self._shown):
            return None
        entry = self._shown[number]
        mark = "● " if entry.name == self._current else "✗ " if entry.problem else "  "
        style = (
            "bold $block-cursor-foreground on $block-cursor-background"
            if number == self._at
            else "dim"
            if entry.problem
            else ""
        )
        cells = [column.said(entry) for column in columns]
        return _table_row(mark, visible(entry.name), cells, columns, width, style)

    def _instead(self, line: int) -> Line:
        """What stands in the room below the rows."""
        if line or self._shown:
            return []
        if self._entries is None:
            return [("  Looking for models …", "dim")]
        return [("  No model here matches." if self._entries else "  There is no model here.", "dim")]

    def _details(self, width: int) -> list[Line]:
        entry = self.chosen
        lines: list[Line] = [[("─" * width, "dim")]]
        if self._failure:
            lines += wrapped(self._failure, width, "$text-error")[:2]
        elif entry is not None and entry.problem is not None:
            lines += wrapped(f"cannot be opened: {visible(entry.problem)}", width, "$text-warning")[:2]
        elif entry is not None:
            said = "is open" if entry.name == self._current else "Enter opens it and keeps the conversation"
            lines += [[(said, "")], [(_end(visible(str(entry.path)), width), "dim")]]
        return lines + [[]] * (_DETAILS - len(lines))


def _that_fit(width: int) -> list[Column]:
    columns = list(_COLUMNS)
    while columns and 2 + _NARROWEST_NAME + sum(column.width for column in columns) > width:
        columns.pop()
    return columns


def _table_row(
    mark: str, name: str, cells: Sequence[str], columns: Sequence[Column], width: int, style: str
) -> Line:  # fmt: skip
    room = max(1, width - len(mark) - sum(column.width for column in columns))
    name = cut(name, room - 1)
    padded = [f"{cut(cell, c.width - 1):>{c.width}}" for cell, c in zip(cells, columns, strict=True)]
    return [(mark, style), (name, style), (" " * (room - cell_len(name)), style), ("".join(padded), style)]


def _end(path: str, width: int) -> str:
    """The end of a path tells more than its beginning."""
    return fitting(width, path, "…" + path[-(width - 1) :]) if width > 1 else ""
