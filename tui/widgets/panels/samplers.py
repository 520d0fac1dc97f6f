"""Every sampling setting but the temperature, in the order in which they act. Must not know the chain itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from core.settings import Settings
from tui.widgets.panels.panel import Line, Span, cells, cut
from tui.widgets.panels.setting_rows import ROWS, Row, fields
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

    @dataclass
    class Changed(Message):
        """A person changed a setting."""

        settings: Settings

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        id: str | None = None,  # noqa: A002
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._settings = settings or Settings()
        self._field = "top_k"
        self._top = 0  # the first row in sight

    # --- the settings -------------------------------------------------------------------------------------------------

    @property
    def settings(self) -> Settings:
        return self._settings

    @property
    def row(self) -> Row:
        """The chosen one."""
        return ROWS[self._field]

    def show(self, settings: Settings) -> None:
        """Show other settings; nobody is told."""
        self._settings = settings
        self.redraw()

    def accept(self, text: str) -> None:
        self._change(self.row.changed(self._settings, text))

    def _change(self, settings: Settings) -> None:
        if settings != self._settings:
            self.show(settings)
            self.post_message(self.Changed(settings))

    # --- keys and mouse -----------------------------------------------------------------------------------------------

    def action_choose(self, rows: int) -> None:
        """Go so many rows down, the temperature's place not counted, and stop at either end."""
        choosable = [field for field in fields(self._settings.order) if field in ROWS]
        at = choosable.index(self._field) + rows
        self._choose(choosable[min(max(at, 0), len(choosable) - 1)])

    def action_move(self, up: bool, far: bool = False) -> None:
        self.close_entry()
        self._change(self.row.moved(self._settings, up=up, far=far))

    def action_switch_off(self) -> None:
        self.close_entry()
        self._change(self.row.switched_off(self._settings))

    def _choose(self, field: str) -> None:
        self.close_entry()
        self._field = field
        self.redraw()

    def _choose_at(self, event: events.MouseEvent) -> bool:
        """Choose the row under the mouse; whether there is one."""
        event.stop()
        at = event.get_content_offset(self)
        order = fields(self._settings.order)
        index = -1 if at is None or at.y >= self._room(self.size.height) else self._top + at.y
        if not 0 <= index < len(order) or order[index] not in ROWS:
            return False
        if order[index] != self._field:
            self._choose(order[index])
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
        return len(fields(self._settings.order)) + 1

    def lines(self, width: int, height: int) -> list[Line]:
        order = fields(self._settings.order)
        room = min(self._room(height), len(order))
        at = order.index(self._field)
        self._top = min(max(self._top, at - room + 1), at, len(order) - room)
        rows = [self._line(field, width) for field in order[self._top : self._top + room]]
        if self._top > 0:
            rows[0] = _hinted(rows[0], "↑")
        if self._top + room < len(order):
            rows[-1] = _hinted(rows[-1], "↓")
        return [*rows, *(self.complaint_lines(width) or [[(cut(self.row.help, width), "dim italic")]])]

    def _line(self, field: str, width: int) -> Line:
        if field not in ROWS:
            return _spread(
                [("  temperature", "dim italic")],
                [(f"{self._settings.temperature:.2f}", "dim italic")],
                width,
            )
        row = ROWS[field]
        if field != self._field:
            tone = "dim" if row.is_off(self._settings) else ""
            return _spread([(f"  {row.name}", "")], [(row.said(self._settings), tone)], width)
        value = (
            self.entry
            if self.is_typing
            else [("‹", "$text-accent"), (row.said(self._settings), "bold"), ("›", "$text-accent")]
        )
        return _spread([("▸ ", "bold $text-accent"), (row.name, "bold")], value, width, close=True)


def _spread(left: list[Span], right: list[Span], width: int, *, close: bool = False) -> Line:
    """One piece at either end of a line; the last cells are kept for ‹›, closed or not, and a hint."""
    gap = max(1, width - cells(left) - cells(right) - (1 if close else 2))
    return [*left, (" " * gap, ""), *right, (" " if close else "  ", "")]


def _hinted(row: Line, hint: str) -> Line:
    """With a hint in the cell that `_spread` left free for it."""
    *rest, (blank, style) = row
    return [*rest, (blank[:-1], style), (hint, "dim")]
