"""The models that are here, one a row, and what there is to say of the chosen one. Must not know where they come from.

Names and reasons come from strangers' files: they are shown as visible text and never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.message import Message

from tui.format import data_size, magnitude
from tui.sanitize import visible
from tui.widgets.panels.panel import Line, cut, fitting, wrapped
from tui.widgets.panels.table import Column, Table
from weights.library.entry import ModelEntry

_COLUMNS: tuple[Column[ModelEntry], ...] = (
    Column(title="parameters", width=11, said=lambda e: magnitude(e.parameters) if e.parameters else ""),
    Column(title="size", width=9, said=lambda e: data_size(e.bytes) if e.bytes else ""),
    Column(title="context", width=9, said=lambda e: f"{e.context:,}" if e.context else ""),
    Column(title="family", width=12, said=lambda e: visible(e.family or "")),
    Column(title="licence", width=14, said=lambda e: cut(visible(e.licence or ""), 13)),
)


class ModelList(Table[ModelEntry]):
    """Models to choose from."""

    @dataclass
    class Opened(Message):
        """A person wants this one."""

        entry: ModelEntry

    def __init__(self, current: str, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._current = current
        self._entries: Sequence[ModelEntry] | None = None  # None: still looking
        self._filter = ""
        self._failure = ""

    def fill(self, entries: Sequence[ModelEntry], failure: str = "", *, choose: str = "") -> None:
        """What was found, and why it may not be all.

        Args:
            choose: the name of the one to put the cursor on; else it is the one that is open.
        """
        self._entries, self._failure = entries, visible(failure)
        self._refilter()
        numbers = {entry.name: number for number, entry in enumerate(self._shown)}
        self.choose(numbers.get(choose, numbers.get(self._current, 0)))

    def filter(self, text: str) -> None:
        """Only those that hold every one of these words."""
        chosen = self.chosen
        self._filter = text.lower()
        self._refilter()
        self.choose(self._shown.index(chosen) if chosen in self._shown else 0)

    def _refilter(self) -> None:
        words = self._filter.split()
        self._shown = [
            e
            for e in self._entries or ()
            if all(w in f"{e.name} {e.family or ''} {e.origin or ''}".lower() for w in words)
        ]

    def open(self) -> None:
        """Tell that the chosen one is wanted, unless it cannot be."""
        if self.chosen is not None and self.chosen.problem is None:
            self.post_message(self.Opened(self.chosen))
        else:
            self.app.bell()

    def columns(self) -> Sequence[Column[ModelEntry]]:
        return _COLUMNS

    def name_of(self, item: ModelEntry) -> str:
        return visible(item.name)

    def mark(self, item: ModelEntry) -> str:
        return "● " if item.name == self._current else "✗ " if item.problem else "  "

    def is_faded(self, item: ModelEntry) -> bool:
        return item.problem is not None

    def instead(self) -> str:
        if self._entries is None:
            return "Looking for models …"
        return "No model here matches; Ctrl+F fetches others." if self._entries else "There is no model here."

    def details(self, width: int) -> list[Line]:
        entry = self.chosen
        if self._failure:
            return wrapped(self._failure, width, "$text-error")[:2]
        if entry is None:
            return []
        if entry.problem is not None:
            way_out = " (Ctrl+F fetches it again)" if entry.source == "downloaded" else ""
            return wrapped(f"cannot be opened{way_out}: {visible(entry.problem)}", width, "$text-warning")[:2]
        said = "is open" if entry.name == self._current else "Enter opens it and keeps the conversation"
        good = wrapped(f"Good for {visible(entry.good_for)}.", width)[:2] if entry.good_for else []
        origin = ", ".join(visible(fact) for fact in (entry.origin, entry.licence, entry.page) if fact)
        return [
            [(said, "")],
            *good,
            *([[(cut(origin, width), "")]] if origin else []),
            [(_end(visible(str(entry.path)), width), "dim")],
        ]


def _end(path: str, width: int) -> str:
    """The end of a path tells more than its beginning."""
    return fitting(width, path, "…" + path[-(width - 1) :]) if width > 1 else ""
