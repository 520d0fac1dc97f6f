"""Every sampling setting but the temperature, in the order in which they act. Must not know the chain itself."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size

from core.setting_spec import SettingSpec, Value
from core.setting_specs import SPECS
from core.settings import Settings
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.panel import Line, Span, cells, cut
from tui.widgets.panels.setting_rows import choosable, moved, rows
from tui.widgets.panels.typing_panel import TypingPanel


class SamplersPanel(TypingPanel):
    """One row a setting; the chosen row is changed by keys, by typing a number and by the wheel."""

    BORDER_TITLE = "Samplers"
    HELP = """\
## Samplers

They act from top to bottom, each on what the one above it left. A change counts from the next token on.

- Up and Down choose a row, Left and Right change it by a step, Shift with an arrow by more
- type a number and press Enter, Escape forgets it
- Backspace or Delete switches a row off
- click a row, turn the wheel over it

**order** says whose chain it is: llama.cpp applies the temperature last, so the cuts do not depend on it; transformers
applies it first, so they do.
"""
    DEFAULT_CSS = """
    SamplersPanel {
        height: auto;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "choose(-1)", "Row up", show=False),
        Binding("down", "choose(1)", "Row down", show=False),
        Binding("left", "move(False)", "Less"),
        Binding("right", "move(True)", "More"),
        Binding("shift+left,pagedown", "move(False, True)", "Much less", show=False),
        Binding("shift+right,pageup", "move(True, True)", "Much more", show=False),
        Binding("backspace,delete", "switch_off", "Off"),
        Binding("home", "choose(-99)", "First row", show=False),
        Binding("end", "choose(99)", "Last row", show=False),
    ]

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._settings = settings or Settings()
        self._chosen = "top_k"
        self._top = 0  # the first row in sight

    # --- the settings -------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def row(self) -> SettingSpec:
        """The setting of the chosen one."""
        return SPECS[self._chosen]

    def show(self, settings: Settings) -> None:
        """Show other settings; nobody is told."""
        self._settings = settings
        self.redraw()

    def accept(self, text: str) -> None:
        self._change(self.row.parse(text))

    def _value(self, setting: SettingSpec) -> Value:
        value: Value = getattr(self._settings, setting.name)
        return value

    def _change(self, value: Value) -> None:
        """Set the chosen one.

        Raises:
            BadSetting: the value is out of its range.
        """
        settings = self._settings.with_value(self._chosen, value)
        if settings != self._settings:
            self.show(settings)
            self.post_message(SettingChanged(self._chosen, value))

    # --- keys and mouse -----------------------------------------------------------------------------------------------

    def action_choose(self, count: int) -> None:
        """Go so many rows down, the temperature's place not counted, and stop at either end."""
        names = [setting.name for setting in choosable(self._settings.order)]
        at = names.index(self._chosen) + count
        self._choose(names[min(max(at, 0), len(names) - 1)])

    def action_move(self, up: bool, far: bool = False) -> None:
        self.close_entry()
        self._change(moved(self.row, self._value(self.row), up=up, far=far))

    def action_switch_off(self) -> None:
        self.close_entry()
        self._change(self.row.off)

    def _choose(self, name: str) -> None:
        self.close_entry()
        self._chosen = name
        self.redraw()

    def _choose_at(self, event: events.MouseEvent) -> bool:
        """Choose the row under the mouse; whether there is one."""
        event.stop()
        at = event.get_content_offset(self)
        settings = rows(self._settings.order)
        index = -1 if at is None or at.y >= self._room(self.size.height) else self._top + at.y
        if not 0 <= index < len(settings) or settings[index] not in choosable(self._settings.order):
            return False
        if settings[index].name != self._chosen:
            self._choose(settings[index].name)
        return True

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._choose_at(event)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        if self._choose_at(event):
            self.action_move(up=True)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        if self._choose_at(event):
            self.action_move(up=False)

    # --- the picture --------------------------------------------------------------------------------------------------

    def _room(self, height: int) -> int:
        """How many rows are in sight; a last line explains the chosen one."""
        below = len(self.complaint_lines(self.size.width)) or (1 if height > 3 else 0)
        return max(1, height - below)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(rows(self._settings.order)) + 1

    def lines(self, width: int, height: int) -> list[Line]:
        settings = rows(self._settings.order)
        room = min(self._room(height), len(settings))
        at = settings.index(self.row)
        self._top = min(max(self._top, at - room + 1), at, len(settings) - room)
        lines = [self._line(setting, width) for setting in settings[self._top : self._top + room]]
        if self._top > 0:
            lines[0] = _hinted(lines[0], "↑")
        if self._top + room < len(settings):
            lines[-1] = _hinted(lines[-1], "↓")
        return [*lines, *(self.complaint_lines(width) or [[(cut(self.row.help, width), "dim italic")]])]

    def _line(self, setting: SettingSpec, width: int) -> Line:
        value = self._value(setting)
        if setting.name == "temperature":
            return _spread([(f"  {setting.label}", "dim italic")], [(f"{value:.2f}", "dim italic")], width)
        text = setting.text(value)
        if setting != self.row:
            tone = "dim" if value == setting.off else ""
            return _spread([(f"  {setting.label}", "")], [(text, tone)], width)
        shown = self.entry if self.is_typing else [("‹", "$text-accent"), (text, "bold"), ("›", "$text-accent")]
        return _spread([("▸ ", "bold $text-accent"), (setting.label, "bold")], shown, width, close=True)


def _spread(left: list[Span], right: list[Span], width: int, *, close: bool = False) -> Line:
    """One piece at either end of a line; the last cells are kept for ‹›, closed or not, and a hint."""
    gap = max(1, width - cells(left) - cells(right) - (1 if close else 2))
    return [*left, (" " * gap, ""), *right, (" " if close else "  ", "")]


def _hinted(row: Line, hint: str) -> Line:
    """With a hint in the cell that `_spread` left free for it."""
    *rest, (blank, style) = row
    return [*rest, (blank[:-1], style), (hint, "dim")]
