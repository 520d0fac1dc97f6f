"""Functions compiled one after another in a thread beside the work, by torch's compiler. Knows no model.

What it makes is kept on the disk where TORCHINDUCTOR_CACHE_DIR says, so the next start only reads it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Tensor]
_OPTIONS: dict[str, str | int | bool | Callable[..., Any]] = {
    "triton.cudagraphs": False,  # we record by ourselves
    "coordinate_descent_tuning": True,  # without it, products of a single row stay calls into a library
}
_SHAPES = 64  # in which one function may be compiled: the steps in which a cache grows, and more


def by_inductor(function: Function) -> Function:
    """To be compiled at the first call, as a whole or not at all."""
    return torch.compile(function, fullgraph=True, dynamic=False, options=_OPTIONS)


class Compiler:
    """Compiles what is asked for, one thing at a time.

    Args:
        prepare: makes a function one that compiles itself when it is called.
        tell: hears whether something is being compiled, from another thread.
    """

    def __init__(
        self, prepare: Callable[[Function], Function] = by_inductor, tell: Callable[[bool], None] = lambda busy: None
    ) -> None:
        self.fallback_reason: str | None = None  # what went wrong; from then on nothing is compiled any more
        self._prepare, self._tell = prepare, tell
        self._ready: dict[Hashable, Function] = {}
        self._thread: threading.Thread | None = None
        self._started = False

    @property
    def busy(self) -> bool:
        """Whether something is being compiled: then nothing may be recorded, as either would disturb the other."""
        return self._thread is not None and self._thread.is_alive()

    def ask(self, key: Hashable, function: Function, stand_ins: Callable[[], tuple[Any, ...]]) -> Function | None:
        """The compiled function, if there is one already. If nothing else is being compiled, this now is.

        Args:
            key: of this function with arguments of these shapes and strides.
            stand_ins: makes such arguments, all but the last, which says that it is compiled.
        """
        if self.fallback_reason is None and key not in self._ready and not self.busy:
            self._thread = threading.Thread(target=self._work, args=(key, function, stand_ins()), daemon=True)
            self._thread.start()
            self._started = True
        return self._ready.get(key) if self.fallback_reason is None else None

    def give_up(self, why: str) -> None:
        """What was compiled is of no use."""
        self.fallback_reason = why

    def wait(self) -> bool:
        """Until nothing is being compiled. Returns whether anything was, since this was last called."""
        started, self._started = self._started, False
        if self._thread is not None:
            self._thread.join()
        return started

    def _work(self, key: Hashable, function: Function, arguments: tuple[Any, ...]) -> None:
        self._tell(True)
        try:
            compiled = self._prepare(function)
            with torch.inference_mode(), torch._dynamo.config.patch(recompile_limit=_SHAPES):
                compiled(*arguments, True)
            self._ready[key] = _never_again(compiled)
        except Exception as error:  # whatever it is, the uncompiled function is still there
            self.fallback_reason = reason(error)
        self._tell(False)


def _never_again(compiled: Function) -> Function:
    """One that fails where it would have to be compiled anew, which nobody waits for."""

    def call(*arguments: Any) -> Tensor:
        with torch.compiler.set_stance("fail_on_recompile"):
            return compiled(*arguments)

    return call


def reason(error: Exception) -> str:
    """In one line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}".removesuffix(": ")
