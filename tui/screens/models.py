"""The model screen: what can be opened here, filtered by typing. Must not know what becomes of the choice.

The files are looked at by a thread of its own, so the screen never waits for a slow disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from core.errors import LogitscopeError
from tui.screens.fetch import FetchScreen
from tui.screens.picker import ChoosingScreen
from tui.widgets.models.model_list import ModelList
from weights.library.entry import ModelEntry


class ModelsScreen(ChoosingScreen[ModelEntry | None]):
    """Ends with the model that is wanted, or with None.

    Args:
        current: the name of the model that is open.
        fetch: makes the screen that fetches others, given the one that the person seems to look for.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("ctrl+f", "fetch", "Fetch a model", priority=True),
    ]
    PANE_TITLE = "Models"
    PANE_KEYS = "Ctrl+F fetches others, Enter opens, Escape closes"

    @dataclass
    class Listed(Message):
        """The files have been looked at."""

        entries: Sequence[ModelEntry]
        failure: str = ""

    def __init__(
        self,
        listing: Callable[[], Sequence[ModelEntry]],
        *,
        current: str = "",
        fetch: Callable[[str], FetchScreen],
    ) -> None:
        super().__init__()
        self._listing = listing
        self._current = current
        self._fetch = fetch
        self._fetched = ""  # the name of the model that has come and is to be opened once it is listed

    def field(self) -> Input:
        hint = "type to filter; Ctrl+F fetches a model from the hub"
        return Input(placeholder=hint, select_on_focus=False)

    def table(self) -> ModelList:
        return ModelList(self._current)

    def on_mount(self) -> None:
        super().on_mount()
        self._look_again()

    def _look_again(self) -> None:
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
        models = self.query_one(ModelList)
        models.fill(event.entries, event.failure, choose=self._fetched)
        if self._fetched and models.chosen is not None and models.chosen.name == self._fetched:
            self._fetched = ""
            models.open()

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self.query_one(ModelList).filter(event.value)

    @on(Input.Submitted)
    def _open(self) -> None:
        self.query_one(ModelList).open()

    @on(ModelList.Opened)
    def _wanted(self, event: ModelList.Opened) -> None:
        self.dismiss(event.entry)

    def action_fetch(self) -> None:
        self.app.push_screen(self._fetch(self._reference), self._back)

    @property
    def _reference(self) -> str:
        """What the person seems to be looking for: what was typed, or a model that has not come whole."""
        typed = self.query_one(Input).value.strip()
        chosen = self.query_one(ModelList).chosen
        if "/" in typed and chosen is None:
            return typed
        broken = chosen is not None and chosen.source == "downloaded" and chosen.problem is not None
        return chosen.name if chosen is not None and broken else ""

    def _back(self, fetched: str | None) -> None:
        """From fetching: what is here may be more now."""
        if fetched:
            self._fetched = fetched
            self.query_one(Input).clear()
            self.query_one(ModelList).filter("")
        self._look_again()
