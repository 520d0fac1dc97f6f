"""Which model is open and which is being opened in its place. Must not know how that is done, nor the screen."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from tui.engines.protocol import Capabilities, Load, Ready
from weights.library.entry import ModelEntry

Outcome = Literal["first", "again", "switched", "back"]


class OpenModel:
    """What was asked for, and what came of it.

    Args:
        load: how the first model is opened; others are opened on the same device and in the same number format.
    """

    def __init__(self, load: Load) -> None:
        self.load = load  # of the model that is open; its process may have died since, and the next one opens it again
        self.capabilities = Capabilities()  # of the engine it is open in
        self.is_open = False
        self.wanted = ""  # the name of the one that is being opened in its place
        self._first = load

    @property
    def is_idle(self) -> bool:
        """Whether a model is open and none is being opened."""
        return self.is_open and not self.wanted

    def switch(self, entry: ModelEntry) -> Load:
        """The request for another model, with as much of the context that was asked for as it has.

        A draft that does not fit it is not needed.
        """
        self.wanted = entry.name
        context = self._first.context
        if context is not None and entry.context is not None:
            context = min(context, entry.context)
        return replace(self._first, model=str(entry.path), context=context, draft_needed=self._first.draft is None)

    def done(self, ready: Ready) -> Outcome:
        """A model is open; how that came about."""
        load = self.load if ready.local is None else ready.local.load
        same, was_open, switching = load == self.load, self.is_open, bool(self.wanted)
        self.load, self.capabilities, self.is_open, self.wanted = load, ready.capabilities, True, ""
        if same and was_open:
            return "back" if switching else "again"
        return "switched" if switching else "first"

    def failed(self, load: Load | None) -> None:
        """A model was not opened; None: nobody knows which, because the engine has died."""
        self.wanted = ""
        if load == self.load:
            self.is_open = False
