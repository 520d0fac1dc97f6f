"""Opening models on the screen: asked of the engine, watched in the status line, told in the chat. Must not know torch.

Which one is open and which is wanted is `OpenModel`'s.
"""

from __future__ import annotations

from tui.controllers import notes
from tui.controllers.last_token import LastToken
from tui.controllers.panes import Panes
from tui.controllers.replies import Replies
from tui.controllers.settings import LiveSettings
from tui.engines.protocol import Cancel, EngineLink, Failed, Loading, LocalInfo, ModelInfo, Ready
from tui.session.engine_state import EngineStateHolder
from tui.session.open_model import OpenModel
from weights.library.entry import ModelEntry


class ModelSwitcher:
    """From one model to the next; the conversation stays."""

    def __init__(
        self,
        engine: EngineLink,
        state: EngineStateHolder,
        open_model: OpenModel,
        panes: Panes,
        last_token: LastToken,
        replies: Replies,
        settings: LiveSettings,
    ) -> None:
        self._engine = engine
        self._state = state
        self._open_model = open_model
        self._panes = panes
        self._last_token = last_token
        self._replies = replies
        self._settings = settings

    def switch(self, entry: ModelEntry | None) -> None:
        """Go on with another model; None: with this one."""
        if entry is None or (entry.name == self._state.now.model and self._open_model.is_idle):
            return
        self._replies.turn_to_another_model()
        self._engine.send(self._open_model.switch(entry))
        self._state.loading(entry.name, 0.0)

    def cancel(self) -> None:
        """Open the one before again instead."""
        self._engine.send(Cancel())

    def show_progress(self, answer: Loading) -> None:
        self._state.loading(answer.what, answer.fraction)

    def finish(self, ready: Ready) -> None:
        """A model is open."""
        wanted, outcome = self._open_model.wanted, self._open_model.done(ready)
        self._show(ready.model, ready.local)
        self._replies.rename(ready.model.name)
        if outcome == "switched":
            self._last_token.clear()
            self._state.forget_reply()
        for sentence in notes.opened(ready, outcome, wanted, self._settings.given):
            self._panes.transcript.add_note(sentence)
        self._settings.recommend(ready.model.sampling)

    def _show(self, model: ModelInfo, local: LocalInfo | None) -> None:
        self._state.opened(
            model.name,
            device="" if local is None else local.device,
            precision="" if local is None else local.precision,
            in_torch=local is not None and local.fallback_reason is not None,
            size=model.context_length or 0,
        )

    def fail(self, failure: Failed) -> None:
        """The engine could not do something; perhaps that was to open a model."""
        wanted = self._open_model.wanted
        which = f"{wanted} was not opened: " if wanted and failure.load else ""
        self._panes.transcript.add_note(f"{which}{failure.message} {failure.hint}".strip(), "error")
        if failure.dead or failure.load is not None:
            self._open_model.failed(failure.load)
        self._state.failed(dead=failure.dead, lasting=failure.dead or not self._open_model.is_open)
