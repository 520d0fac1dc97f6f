"""The model screen: what can be opened here, filtered by typing. Must not know what becomes of the choice.

The files are looked at by a thread of its own, so the screen never waits for a slow disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input

from core.errors import LogitscopeError
from tui.widgets.model_list import ModelList
from weights.shelf import ShelfEntry


class ModelsScreen(ModalScreen[ShelfEntry | None]):
    """Ends with the model that is wanted, or with None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+o", "dismiss", "Close"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "move_page(-1)", "Page up", show=False),
        Binding("pagedown", "move_page(1)", "Page down", show=False),
        Binding("ctrl+home", "move(-99999)", "First", show=False),
        Binding("ctrl+end", "move(99999)", "Last", show=False),
    ]
    DEFAULT_CSS = """
    ModelsScreen {
        align: center middle;
    }
    ModelsScreen > Vertical {
        width: 94%;
        max-width: 110;
        height: 90%;
        padding: 0 1;
        border: heavy $border;
        border-title-style: bold;
        background: $surface;
    }
    ModelsScreen Input, ModelsScreen Input:focus {
        height: 1;
        border: none;
        padding: 0;
        margin: 0 0 1 0;
        background: $panel;
    }
    ModelsScreen ModelList {
        height: 1fr;
    }
    """

    @dataclass
    class Listed(Message):
        """The files have been looked at."""

        entries: Sequence[ShelfEntry]
        failure: str = ""

    def __init__(self, listing: Callable[[], Sequence[ShelfEntry]], *, current: str = "") -> None:
        super().__init__()
        self._listing = listing
        self._current = current

    def compose(self) -> ComposeResult:
        with Vertical() as pane:
            yield Input(placeholder="type to filter", select_on_focus=False)
            yield ModelList(self._current)
        pane.border_title = "Models"
        pane.border_subtitle = "Enter opens, Escape closes"

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        # Not one of Textual's workers: leaving the program would wait for them.
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        try:
            found = self.Listed(self._listing())
        except LogitscopeError as error:
            found = self.Listed((), str(error))
        except OSError as error:
            found = self.Listed((), f"The models cannot be listed: {error.strerror or error}.")
        self.post_message(found)

    @on(Listed)
    def _show(self, event: Listed) -> None:
        self.query_one(ModelList).fill(event.entries, event.failure)

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self.query_one(ModelList).filter(event.value)

    @on(Input.Submitted)
    def _open(self) -> None:
        self.query_one(ModelList).open()

    @on(ModelList.Opened)
    def _wanted(self, event: ModelList.Opened) -> None:
        self.dismiss(event.entry)

    def action_move(self, rows: int) -> None:
        self.query_one(ModelList).move(rows)

    def action_move_page(self, pages: int) -> None:
        models = self.query_one(ModelList)
        models.move(pages * models.page)
