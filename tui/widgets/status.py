"""The status line: what the model is doing, which one it is, how fast, and how full its context is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.content import Content
from textual.widget import Widget

from tui.sanitize import visible
from tui.widgets.panels.bars import meter
from tui.widgets.panels.panel import Span, cells

State = Literal["starting", "loading", "ready", "reading", "writing", "stopped", "failed"]

NEARLY_FULL = 0.85
_TONES: dict[State, str] = {
    "ready": "$text-success",
    "reading": "$text-accent",
    "writing": "$text-accent",
    "stopped": "$text-warning",
    "failed": "$text-error",
}


@dataclass(frozen=True, kw_only=True)
class Status:
    """Everything the line can say."""

    state: State = "starting"
    what: str = ""  # what is being loaded, or what failed
    fraction: float = 0.0  # of the loading
    done: int = 0  # tokens of the prompt that have been read
    total: int = 0
    model: str = ""
    device: str = ""
    precision: str = ""  # the format the weights are held in
    in_torch: bool = False  # no decoding in C or as a CUDA graph: slower than need be
    compiling: bool = False  # it will be faster soon
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None
    guesses: int = 0  # tokens of the last answer that were read ahead
    right_guesses: int = 0
    fetching: str = ""  # how far a model is that comes from the hub meanwhile
    used: int = 0  # tokens in the context
    size: int = 0  # tokens it holds; 0: not known yet

    @property
    def fullness(self) -> float:
        return self.used / self.size if self.size else 0.0


class StatusBar(Widget):
    """Shows a `Status` in one line."""

    HELP = """\
## Status

What the model is doing, its name, the device it runs on, the format its weights are held in, tokens a second, the time
from Enter to the first token, and how many of the context's tokens are used; and how far a model is that is fetched
meanwhile. (torch) behind the format says that the faster decoding, in C or as a CUDA graph, is not there for this
model; `logitscope bench` says why. (compiling) says that a still faster one is being made, after --compile. Guesses
are tokens that were read before they were chosen, because they had followed the same words before or because a draft
(--draft) came up with them: where they are right the answer comes faster, and it is the same answer in any case.
"""
    DEFAULT_CSS = """
    StatusBar {
        height: 1;
        padding: 0 1;
        background: $panel;
        color: $foreground;
        text-wrap: nowrap;
        text-overflow: clip;
    }
    """

    def __init__(self, status: Status | None = None, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._status = status or Status()

    @property
    def status(self) -> Status:
        return self._status

    def show(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            self.refresh()

    def render(self) -> Content:
        return render(self._status, self.size.width)


Part = list[Span]


def render(status: Status, width: int) -> Content:
    """The line in so many cells. What matters least goes first: guesses, number format, device, name, the time to
    the first token, the bars, and at last the speed and what is fetched; the state and the context's numbers stay."""
    left, right = _fitting(status, width)
    room = width - cells(right) - (2 if right else 0)
    return Content.assemble(*left).truncate(max(room, 0), ellipsis=True, pad=True) + Content.assemble(
        "  " if right else "", *right
    )


def _fitting(status: Status, width: int) -> tuple[Part, Part]:
    """The two ends of the fullest version that fits, else of the barest."""
    versions = [(_joined(parts[:-1]), parts[-1]) for parts in _versions(status)]
    return next((ends for ends in versions if cells(ends[0]) + 2 + cells(ends[1]) <= width), versions[-1])


def _versions(status: Status) -> list[list[Part]]:
    """Parts from left to right, from the fullest version to the barest; the last part stands at the right edge."""
    state, bare = _state(status, bar=10), _state(status, bar=0)
    model = _part(_said(status.model), "bold")
    device = _part(_said(status.device))
    how = "(torch)" if status.in_torch else "(compiling)" if status.compiling else ""
    machine = _part(_said(" ".join((status.device, status.precision, how)).strip()))
    coming = _part(status.fetching, "$text-accent")
    speed = _part("" if status.tokens_per_second is None else f"{status.tokens_per_second:.1f} tok/s")
    first = _part("" if status.first_token_seconds is None else f"first token {seconds(status.first_token_seconds)}")
    guesses = _part(f"{status.right_guesses} of {status.guesses} guesses right" if status.guesses else "")
    wide, narrow = _context(status, bar=10), _context(status, bar=0)
    return [
        [state, coming, model, machine, speed, guesses, first, wide],
        [state, coming, model, machine, speed, first, wide],
        [state, coming, model, device, speed, first, wide],
        [state, coming, model, speed, first, wide],
        [state, coming, model, speed, wide],
        [state, coming, speed, wide],
        [bare, coming, speed, wide],
        [bare, coming, speed, narrow],
        [bare, narrow],
    ]


def _state(status: Status, *, bar: int) -> Part:
    tone = f"bold {_TONES.get(status.state, '')}".strip()
    if status.state == "loading":
        said: Part = [("● loading", tone), (f" {_said(status.what)}".rstrip(), "")]
        return [*said, *_bar(status.fraction, bar, "$primary"), (f" {status.fraction:.0%}", "")]
    if status.state == "reading":
        if not status.total:  # still cutting it into tokens
            return [("● reading", tone)]
        fraction = status.done / status.total
        return [
            ("● reading", tone),
            (f" prompt {status.done:,} of {status.total:,}", ""),
            *_bar(fraction, bar, "$primary"),
        ]
    mark = {"ready": "○", "stopped": "■", "failed": "✗"}.get(status.state, "●")
    return [(f"{mark} {status.state}", tone), (f": {_said(status.what)}" if status.what else "", "")]


def _context(status: Status, *, bar: int) -> Part:
    if not status.size:
        return []
    tone = "$text-warning" if status.fullness > NEARLY_FULL else ""
    warning = "! " if tone else ""
    number = f"{warning}{status.used:,} / {status.size:,}"
    return [("context", "dim"), *_bar(status.fullness, bar, tone or "$primary"), (f" {number}", f"bold {tone}")]


def _bar(fraction: float, width: int, tone: str) -> Part:
    return [(" ", ""), (meter(fraction, width), f"{tone} on $surface")] if width else []


def _said(text: str) -> str:
    """Text from a model's files or an error, on one line."""
    return " ".join(visible(text).split())


def _part(text: str, style: str = "") -> Part:
    return [(text, style)] if text else []


def _joined(parts: list[Part]) -> Part:
    """Side by side with a rule between them."""
    joined: Part = []
    for part in filter(None, parts):
        joined += [(" │ ", "dim"), *part] if joined else part
    return joined


def seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"
