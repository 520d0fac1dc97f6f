"""A field to type in and a table to choose from below it, in one pane. Must not know what is typed or chosen.

The field always has the focus: the keys that move the cursor of the table are not a text's.
"""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, ScreenResultType
from textual.widgets import Input

from tui.widgets.panels.table import Table


class ChoosingScreen(ModalScreen[ScreenResultType]):
    """Subclasses say what stands in it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("ctrl+home", "move(-99999)", "First", show=False),
        Binding("ctrl+end", "move(99999)", "Last", show=False),
    ]
    DEFAULT_CSS = """
    ChoosingScreen {
        align: center middle;
    }
    ChoosingScreen > Vertical {
        width: 94%;
        max-width: 110;
        height: 90%;
        padding: 0 1;
        border: heavy $border;
        border-title-style: bold;
        background: $surface;
    }
    ChoosingScreen Input, ChoosingScreen Input:focus {
        height: 1;
        border: none;
        padding: 0;
        background: $panel;
    }
    ChoosingScreen Table {
        height: 1fr;
    }
    """
    PANE_TITLE: ClassVar[str]
    PANE_KEYS: ClassVar[str]

    def field(self) -> Input:
        """To type in; made once."""
        raise NotImplementedError

    def table(self) -> Table[Any]:
        """To choose from; made once."""
        raise NotImplementedError

    def compose(self) -> ComposeResult:
        with Vertical() as pane:
            yield self.field()
            yield self.table()
        pane.border_title = self.PANE_TITLE
        pane.border_subtitle = self.PANE_KEYS

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def action_move(self, rows: int) -> None:
        self.query_one(Table).move(rows)

    def action_move_page(self, pages: int) -> None:
        table = self.query_one(Table)
        table.move(pages * table.page)
