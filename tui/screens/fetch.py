"""Fetching a model: a name to type or a suggestion to choose, and how far it is. Must not know the hub's client.

It only watches the fetching, which goes on when the screen is gone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from tui.downloads.fetch import Fetching
from tui.screens.picker import ChoosingScreen
from tui.widgets.models.suggestion_list import SuggestionList
from weights.fit.available import AvailableMemory

_LOOKS_PER_SECOND = 10


class FetchScreen(ChoosingScreen[str | None]):
    """Ends with the name of a model that has come and is to be opened, or with None.

    Args:
        room: where a model would go; called in a thread of its own.
        reference: what is typed already.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "stop_or_close", "Stop, or close")]
    PANE_TITLE = "Fetch a model from the Hugging Face hub"
    PANE_KEYS = "Enter fetches, Escape closes"
    RUNNING_KEYS = "Escape stops it, Ctrl+O goes back to the chat"
    DONE_KEYS = "Enter opens it, Escape closes"

    @dataclass
    class Measured(Message):
        """The memory has been looked at."""

        room: AvailableMemory

    def __init__(self, fetching: Fetching, room: Callable[[], AvailableMemory], reference: str = "") -> None:
        super().__init__()
        self._fetching = fetching
        self._room = room
        self._reference = reference

    def field(self) -> Input:
        hint = "type OWNER/NAME or OWNER/NAME:FILE.gguf, or choose with Down"
        return Input(self._reference, placeholder=hint, select_on_focus=False)

    def table(self) -> SuggestionList:
        return SuggestionList()

    def on_mount(self) -> None:
        super().on_mount()
        self._fetching.forget()
        self._look()
        self.set_interval(1 / _LOOKS_PER_SECOND, self._look)
        threading.Thread(target=self._measure, daemon=True).start()  # on a Mac it asks another program

    def _measure(self) -> None:
        self.post_message(self.Measured(self._room()))

    @on(Measured)
    def _measured(self, event: Measured) -> None:
        self.query_one(SuggestionList).measure(event.room)

    def _look(self) -> None:
        now = self._fetching.now
        self.query_one(SuggestionList).show(now)
        keys = self.RUNNING_KEYS if now.is_running else self.DONE_KEYS if now.phase == "done" else self.PANE_KEYS
        self.query_one(Vertical).border_subtitle = keys

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self.query_one(SuggestionList).typed(event.value)

    @on(SuggestionList.Moved)
    def _moved(self) -> None:
        """What is said of the last one is not of this one."""
        self._fetching.forget()
        self._look()

    @on(Input.Submitted)
    @on(SuggestionList.Opened)
    def _enter(self) -> None:
        now = self._fetching.now
        wanted = self.query_one(SuggestionList).wanted
        if now.phase == "done":
            self.dismiss(now.name)
        elif now.is_running or not wanted:
            self.app.bell()
        else:
            self._fetching.begin(wanted)
            self._look()

    def action_stop_or_close(self) -> None:
        if self._fetching.now.is_running:
            self._fetching.stop()
            self._look()
        else:
            self.dismiss(None)
