"""The temperature as a slider with its number. Must not know what the temperature does to anything."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType

from core.setting_specs import SPECS
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.panel import Line, Span, fitting
from tui.widgets.panels.typing_panel import TypingPanel

_SPEC = SPECS["temperature"]
STEP, LEAP = _SPEC.step, _SPEC.leap


@dataclass(frozen=True, kw_only=True)
class Track:
    """Where the slider runs, in cells of the panel's inside, and the temperature at its end."""

    x: int
    y: int
    length: int
    end: float

    @property
    def mark(self) -> int:
        """The cell of temperature 1."""
        return self.cell(1.0)

    def cell(self, value: float) -> int:
        """The cell of a temperature, counted from the start of the track."""
        return round(min(value / self.end, 1.0) * (self.length - 1))

    def value(self, x: int) -> float:
        """The temperature at a cell, to the step; a cell beyond either end counts as that end."""
        cell = min(max(x - self.x, 0), self.length - 1)
        if cell == self.mark:
            return 1.0
        return round(cell / max(self.length - 1, 1) * self.end / STEP) * STEP


class TemperaturePanel(TypingPanel):
    """Moved by keys, by typing a number, by dragging and by the wheel."""

    BORDER_TITLE = "Temperature"
    HELP = f"""\
## Temperature

Every logit is divided by it before the softmax. At **0** the likeliest token is always taken, at **1** the chances are
the model's own, above 1 unlikely tokens gain, below 1 likely ones do.

- Left and Right move it by {STEP}, Page Up and Page Down (or Shift with an arrow) by {LEAP}
- Home sets 0, End the end of the track; beyond 2 the track stretches
- type a number and press Enter, Escape forgets it
- drag, click or turn the wheel
"""
    DEFAULT_CSS = """
    TemperaturePanel {
        height: 5;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", f"nudge({-STEP})", "Colder"),
        Binding("right", f"nudge({STEP})", "Hotter"),
        Binding("down", f"nudge({-STEP})", "Colder", show=False),
        Binding("up", f"nudge({STEP})", "Hotter", show=False),
        Binding("pagedown,shift+left", f"nudge({-LEAP})", "Much colder", show=False),
        Binding("pageup,shift+right", f"nudge({LEAP})", "Much hotter", show=False),
        Binding("home", "zero", "0", show=False),
        Binding("end", "end", "End of the track", show=False),
    ]

    def __init__(
        self,
        value: float = _SPEC.default,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._value = tidy(value)
        self._held_end: float | None = None  # while the mouse drags, the track stays as it is

    # --- the value ----------------------------------------------------------------------------------------------------

    @property
    def value(self) -> float:
        return self._value

    def set_value(self, value: float) -> None:
        """Show another temperature; nobody is told."""
        self._value = tidy(value)
        self.redraw()

    def nudge(self, delta: float) -> None:
        """Move by so much, not below the lowest there is."""
        self._move(max(float(_SPEC.low), self._value + delta))

    def accept(self, text: str) -> None:
        value = _SPEC.parse(text)
        _SPEC.check(value)
        assert isinstance(value, float)
        self._move(value)

    def _move(self, value: float) -> None:
        value = tidy(value)
        if value != self._value:
            self.set_value(value)
            self.post_message(SettingChanged(_SPEC.name, value))

    # --- keys and mouse -----------------------------------------------------------------------------------------------

    def action_nudge(self, delta: float) -> None:
        self.close_entry()
        self.nudge(delta)

    def action_zero(self) -> None:
        self.close_entry()
        self._move(0.0)

    def action_end(self) -> None:
        self.close_entry()
        end = track_end(self._value)
        self._move(end if self._value < end else track_end(end + STEP))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        at = event.get_content_offset(self)
        if event.button == 1 and at is not None and at.y >= self._track().y:
            self.close_entry()
            self._held_end = track_end(self._value)
            self.capture_mouse()
            self._drag(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        if self._held_end is not None:
            self._drag(event)

    def on_mouse_up(self) -> None:
        self.release_mouse()

    def on_mouse_release(self) -> None:
        self._held_end = None
        self.redraw()

    def _drag(self, event: events.MouseEvent) -> None:
        event.stop()
        self._move(self._track().value(event.x - self.gutter.left))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.action_nudge(STEP)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.action_nudge(-STEP)

    # --- the picture --------------------------------------------------------------------------------------------------

    def _track(self) -> Track:
        width, height = self.size
        end = self._held_end or track_end(self._value)
        left = 2 if height > 1 else len(shown(self._value)) + 3
        return Track(x=left, y=min(1, height - 1), length=max(2, width - left - 1 - len(f"{end:g}")), end=end)

    def lines(self, width: int, height: int) -> list[Line]:
        number: list[Span] = self.entry if self.is_typing else [(shown(self._value), "bold")]
        if height == 1:
            beside: list[Span] = [(self.complaint, "$text-error")] if self.is_typing else self._slider()
            return [[*number, (" ", ""), *beside]]
        if self.is_typing:
            hint = fitting(
                width - cell_len(self.entry[0][0]) - 3, "Enter sets it, Escape forgets it", "Enter / Esc", ""
            )
            return [[*number, (f"  {hint}", "dim")], *(self.complaint_lines(width) or self._scale(width))]
        effect = fitting(width - len(shown(self._value)) - 2, *meaning(self._value))
        return [[*number, (f"  {effect}", "dim")], *self._scale(width)]

    def _scale(self, width: int) -> list[Line]:
        return [self._slider(), self._labels(width)]

    def _slider(self) -> list[Span]:
        track = self._track()
        knob = track.cell(self._value)
        cells = ["┼" if cell == track.mark else "━" if cell < knob else "─" for cell in range(track.length)]
        return [
            ("0 ", "dim"),
            ("".join(cells[:knob]), "$primary"),
            ("●", "bold $text-accent"),
            ("".join(cells[knob + 1 :]), "dim"),
            (f" {track.end:g}", "dim"),
        ]

    def _labels(self, width: int) -> Line:
        """What 0 and 1 mean; the words for 1 stand under its mark as far as those for 0 leave room."""
        track = self._track()
        for cold, plain in (("0 = always the likeliest", "1 = as trained"), ("0 likeliest", "1 as trained"), ("", "1")):
            start = max(len(cold) + 2, min(track.x + track.mark - len(plain) // 2, width - len(plain)))
            if start + len(plain) <= width:
                return [(cold.ljust(start) + plain, "dim")]
        return []


def tidy(value: float) -> float:
    """To two decimals, and never -0."""
    return round(value, 2) + 0.0


def shown(value: float) -> str:
    return f"{value:.2f}" if value < 100_000 else f"{value:.3g}"


def track_end(value: float) -> float:
    """The shortest track that holds a temperature: 2, 5, 10, 20, 50, 100 and so on."""
    return next(
        end for power in count() for end in (2.0 * 10**power, 5.0 * 10**power, 10.0 ** (power + 1)) if value <= end
    )


def meaning(value: float) -> tuple[str, str]:
    """What a temperature does, in more words and in fewer."""
    if value == 0:
        return "always the likeliest token", "likeliest only"
    if value == 1:
        return "the chances as trained", "as trained"
    if value < 1:
        return "likely tokens grow likelier", "sharper"
    return ("unlikely tokens gain", "flatter") if value <= 2 else ("most tokens nearly alike", "very flat")
