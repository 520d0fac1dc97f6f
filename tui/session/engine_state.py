"""What the engine is doing and with which model, for whoever shows it. Must not know the engine or the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

Activity = Literal["starting", "loading", "ready", "reading", "writing", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class EngineState:
    """All of it at one moment."""

    activity: Activity = "starting"
    what: str = ""  # what is being loaded, or what failed
    fraction: float = 0.0  # of the loading
    done: int = 0  # tokens of the prompt that have been read
    total: int = 0
    model: str = ""
    device: str = ""  # empty: not known
    precision: str = ""  # the format the weights are held in
    in_torch: bool = False  # no decoding in C or as a CUDA graph: slower than need be
    compiling: bool = False  # it will be faster soon
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None
    guesses: int = 0  # tokens of the last answer that were read ahead
    right_guesses: int = 0
    used: int = 0  # tokens in the context
    size: int = 0  # tokens it holds; 0: not known

    @property
    def fullness(self) -> float:
        """The share of the context that is used, 0 to 1."""
        return self.used / self.size if self.size else 0.0


class EngineStateHolder:
    """The state now. Whoever learns something of the engine says so here, and whoever shows it listens."""

    def __init__(self, state: EngineState) -> None:
        self._now = state
        self._listeners: list[Callable[[EngineState], None]] = []

    @property
    def now(self) -> EngineState:
        return self._now

    def listen(self, listener: Callable[[EngineState], None]) -> None:
        """Call this with every new state."""
        self._listeners.append(listener)

    # --- the model ----------------------------------------------------------------------------------------------------

    def loading(self, what: str, fraction: float) -> None:
        self._become(replace(self._now, activity="loading", what=what, fraction=fraction))

    def opened(self, model: str, *, device: str, precision: str, in_torch: bool, size: int) -> None:
        """A model is open; for the arguments see `EngineState`."""
        opened = replace(self._now, model=model, device=device, precision=precision, in_torch=in_torch, size=size)
        self._become(replace(opened, activity="ready", what=""))

    def compiling(self, busy: bool) -> None:
        self._become(replace(self._now, compiling=busy))

    def failed(self, *, dead: bool, lasting: bool) -> None:
        """Something could not be done.

        Args:
            dead: the engine's process is gone.
            lasting: nothing can be done until a model is opened, or until the engine is started again.
        """
        failed = replace(self._now, activity="failed" if lasting else "ready", what="engine stopped" if dead else "")
        self._become(replace(failed, compiling=False) if dead else failed)

    # --- a reply ------------------------------------------------------------------------------------------------------

    def asked(self) -> None:
        """Nothing of the prompt has been read yet."""
        self._become(replace(self._now, activity="reading", what="", done=0, total=0))

    def reading(self, done: int, total: int) -> None:
        self._become(replace(self._now, activity="reading", done=done, total=total, used=done))

    def writing(self, *, used: int, tokens_per_second: float | None, first_token_seconds: float) -> None:
        self._become(
            replace(
                self._now,
                activity="writing",
                used=used,
                tokens_per_second=tokens_per_second,
                first_token_seconds=first_token_seconds,
            )
        )

    def finished(
        self,
        *,
        stopped: bool,
        used: int,
        tokens_per_second: float | None,
        first_token_seconds: float | None,
        guesses: int,
        right_guesses: int,
    ) -> None:
        """A reply is over; `stopped`: by the person."""
        self._become(
            replace(
                self._now,
                activity="stopped" if stopped else "ready",
                used=used,
                tokens_per_second=tokens_per_second,
                first_token_seconds=first_token_seconds,
                guesses=guesses,
                right_guesses=right_guesses,
            )
        )

    def forget_reply(self, *, ready: bool = False) -> None:
        """There is no reply, and the context is empty; `ready`: nor is anything else being done."""
        empty = replace(self._now, used=0, tokens_per_second=None, first_token_seconds=None, guesses=0)
        self._become(replace(empty, activity="ready") if ready else empty)

    def _become(self, state: EngineState) -> None:
        if state != self._now:
            self._now = state
            for listener in self._listeners:
                listener(state)
