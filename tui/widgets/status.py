"""The status line: what the model is doing, which one it is, how fast, and how full its context is.

Must not know the engine.
"""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from tui.sanitize import visible
from tui.session.engine_state import Activity, EngineState
from tui.widgets.panels.bars import meter
from tui.widgets.panels.panel import Span, cells

NEARLY_FULL = 0.85
_TONES: dict[Activity, str] = {
    "ready": "$text-success",
    "reading": "$text-accent",
    "writing": "$text-accent",
    "stopped": "$text-warning",
    "failed": "$text-error",
}


class StatusBar(Widget):
    """Shows an `EngineState` in one line, and how far a model is that comes from the hub meanwhile."""

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

    def __init__(self, state: EngineState | None = None, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._state = state or EngineState()
        self._fetching = ""

    @property
    def state(self) -> EngineState:
        """What is shown."""
        return self._state

    def show(self, state: EngineState) -> None:
        if state != self._state:
            self._state = state
            self.refresh()

    def show_fetching(self, progress: str) -> None:
        """How far a model is that comes from the hub, in a word; empty if there is none."""
        if progress != self._fetching:
            self._fetching = progress
            self.refresh()

    def render(self) -> Content:
        return render(self._state, self.size.width, fetching=self._fetching)


Part = list[Span]


def render(state: EngineState, width: int, *, fetching: str = "") -> Content:
    """The line in so many cells. What matters least goes first: guesses, number format, device, name, the time to
    the first token, the bars, and at last the speed and what is fetched; the state and the context's numbers stay."""
    left, right = _fitting(state, width, fetching)
    room = width - cells(right) - (2 if right else 0)
    return Content.assemble(*left).truncate(max(room, 0), ellipsis=True, pad=True) + Content.assemble(
        "  " if right else "", *right
    )


def _fitting(state: EngineState, width: int, fetching: str) -> tuple[Part, Part]:
    """The two ends of the fullest version that fits, else of the barest."""
    versions = [(_joined(parts[:-1]), parts[-1]) for parts in _versions(state, fetching)]
    return next((ends for ends in versions if cells(ends[0]) + 2 + cells(ends[1]) <= width), versions[-1])


def _versions(state: EngineState, fetching: str) -> list[list[Part]]:
    """Parts from left to right, from the fullest version to the barest; the last part stands at the right edge."""
    activity, bare = _activity(state, bar=10), _activity(state, bar=0)
    model = _part(_on_one_line(state.model), "bold")
    device = _part(_on_one_line(state.device))
    how = "(torch)" if state.in_torch else "(compiling)" if state.compiling else ""
    machine = _part(_on_one_line(" ".join((state.device, state.precision, how)).strip()))
    coming = _part(fetching, "$text-accent")
    speed = _part("" if state.tokens_per_second is None else f"{state.tokens_per_second:.1f} tok/s")
    first = _part("" if state.first_token_seconds is None else f"first token {seconds(state.first_token_seconds)}")
    guesses = _part(f"{state.right_guesses} of {state.guesses} guesses right" if state.guesses else "")
    wide, narrow = _context(state, bar=10), _context(state, bar=0)
    return [
        [activity, coming, model, machine, speed, guesses, first, wide],
        [activity, coming, model, machine, speed, first, wide],
        [activity, coming, model, device, speed, first, wide],
        [activity, coming, model, speed, first, wide],
        [activity, coming, model, speed, wide],
        [activity, coming, speed, wide],
        [bare, coming, speed, wide],
        [bare, coming, speed, narrow],
        [bare, narrow],
    ]


def _activity(state: EngineState, *, bar: int) -> Part:
    tone = f"bold {_TONES.get(state.activity, '')}".strip()
    if state.activity == "loading":
        label: Part = [("● loading", tone), (f" {_on_one_line(state.what)}".rstrip(), "")]
        return [*label, *_bar(state.fraction, bar, "$primary"), (f" {state.fraction:.0%}", "")]
    if state.activity == "reading":
        if not state.total:  # still cutting it into tokens
            return [("● reading", tone)]
        fraction = state.done / state.total
        return [
            ("● reading", tone),
            (f" prompt {state.done:,} of {state.total:,}", ""),
            *_bar(fraction, bar, "$primary"),
        ]
    mark = {"ready": "○", "stopped": "■", "failed": "✗"}.get(state.activity, "●")
    return [(f"{mark} {state.activity}", tone), (f": {_on_one_line(state.what)}" if state.what else "", "")]


def _context(state: EngineState, *, bar: int) -> Part:
    if not state.size:
        return []
    tone = "$text-warning" if state.fullness > NEARLY_FULL else ""
    warning = "! " if tone else ""
    number = f"{warning}{state.used:,} / {state.size:,}"
    return [("context", "dim"), *_bar(state.fullness, bar, tone or "$primary"), (f" {number}", f"bold {tone}")]


def _bar(fraction: float, width: int, tone: str) -> Part:
    return [(" ", ""), (meter(fraction, width), f"{tone} on $surface")] if width else []


def _on_one_line(text: str) -> str:
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
