"""Opening models on the screen: asked of the engine, watched in the status line, told in the chat. Must not know torch.

Which one is open and which is wanted is `OpenModel`'s.
"""

from __future__ import annotations

from tui.controllers import notes as wording
from tui.controllers.last_token import LastToken
from tui.controllers.panes import Panes
from tui.controllers.replies import Replies
from tui.controllers.settings import SettingsControl
from tui.engines.protocol import Cancel, EngineLink, Failed, Loading, Ready
from tui.session.open_model import OpenModel
from weights.library.entry import ModelEntry


class ModelSwitcher:
    """From one model to the next; the conversation stays."""

    def __init__(
        self,
        engine: EngineLink,
        panes: Panes,
        opening: OpenModel,
        last_choice: LastToken,
        answering: Replies,
        tuning: SettingsControl,
    ) -> None:
        self._engine = engine
        self._panes = panes
        self._opening = opening
        self._last_choice = last_choice
        self._answering = answering
        self._tuning = tuning

    def switch(self, entry: ModelEntry | None) -> None:
        """Go on with another model; None: with this one."""
        if entry is None or (entry.name == self._panes.status.model and self._opening.is_idle):
            return
        self._answering.turn_to_another_model()
        self._engine.send(self._opening.switch(entry))
        self._panes.show_status(state="loading", what=entry.name, fraction=0.0)

    def cancel(self) -> None:
        """Open the one before again instead."""
        self._engine.send(Cancel())

    def show_progress(self, answer: Loading) -> None:
        self._panes.show_status(state="loading", what=answer.what, fraction=answer.fraction)

    def finish(self, model: Ready) -> None:
        """A model is open."""
        wanted, outcome = self._opening.wanted, self._opening.done(model)
        self._panes.show_status(
            state="ready",
            what="",
            model=model.name,
            device=model.device,
            precision=model.precision,
            in_torch=model.fallback_reason is not None,
            size=model.context_length,
        )
        self._answering.rename(model.name)
        if outcome == "switched":
            self._last_choice.clear()
            self._panes.show_status(used=0, tokens_per_second=None, first_token_seconds=None, guesses=0)
        for sentence in wording.opened(model, outcome, wanted, self._tuning.given):
            self._panes.transcript.add_note(sentence)
        self._tuning.recommend(model.sampling)

    def fail(self, failure: Failed) -> None:
        """The engine could not do something; perhaps that was to open a model."""
        wanted = self._opening.wanted
        which = f"{wanted} was not opened: " if wanted and failure.load else ""
        self._panes.transcript.add_note(f"{which}{failure.message} {failure.hint}".strip(), "error")
        if failure.dead or failure.load is not None:
            self._opening.failed(failure.load)
        lasting = failure.dead or not self._opening.is_open
        self._panes.show_status(state="failed" if lasting else "ready", what="engine stopped" if failure.dead else "")
        if failure.dead:
            self._panes.show_status(compiling=False)
