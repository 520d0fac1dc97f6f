"""Choosing a model: the screens for it over the chat, and the fetching that goes on behind it.

Must not know how a model is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.app import App

from tui.controllers import notes
from tui.controllers.panes import Panes
from tui.session.engine_state import EngineStateHolder
from tui.session.open_model import OpenModel
from weights.library.entry import ModelEntry

if TYPE_CHECKING:
    from tui.downloads.fetch import Fetching
    from tui.screens.models import ModelsScreen


class ModelScreens:
    """Its screens are imported when they are asked for.

    Args:
        switch: what to do with the model that was chosen, or with None.
    """

    def __init__(
        self,
        app: App[None],
        state: EngineStateHolder,
        open_model: OpenModel,
        panes: Panes,
        switch: Callable[[ModelEntry | None], None],
    ) -> None:
        self._app = app
        self._state = state
        self._open_model = open_model
        self._panes = panes
        self._switch = switch
        self.fetching: Fetching | None = None  # None: nothing was to be fetched yet

    def toggle(self) -> None:
        """Show the models; from there, and from fetching one, back to the chat."""
        from tui.screens.models import ModelsScreen

        if any(isinstance(screen, ModelsScreen) for screen in self._app.screen_stack):
            while len(self._app.screen_stack) > 1:
                self._app.pop_screen()
        else:
            self._app.push_screen(self._screen(), self._switch)

    def watch(self) -> None:
        """A model that is fetched while one chats: a word in the status line, and a note at the end."""
        if self.fetching is None:
            return
        self._panes.status_bar.show_fetching(notes.fetching(self.fetching.now))
        if (end := self.fetching.take_end()) is None:
            return
        from tui.screens.fetch import FetchScreen  # which says so itself

        if not isinstance(self._app.screen, FetchScreen):
            self._panes.transcript.add_note(notes.fetched(end), "error" if end.phase == "failed" else "info")

    def _screen(self) -> ModelsScreen:
        from tui.downloads.fetch import Fetching
        from tui.screens.fetch import FetchScreen
        from tui.screens.models import ModelsScreen
        from weights.fit.available import available_memory_without_torch
        from weights.fit.requirement import DTYPE_BITS
        from weights.library.listing import listing

        self.fetching = self.fetching or Fetching()
        state = self._state.now
        dtype = self._open_model.load.dtype or state.precision
        dtype = dtype if dtype in DTYPE_BITS else "float32"
        available = partial(available_memory_without_torch, state.device or "cpu", dtype)
        fetch = partial(FetchScreen, self.fetching, available)
        return ModelsScreen(listing, current=state.model, fetch=fetch)
