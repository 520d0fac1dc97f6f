"""Stand-ins for a GPU's graphs, to be used without one: what is recorded is a function, and is called again."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from core.backends.cuda_graph.backend import CudaGraphBackend
from core.backends.cuda_graph.capture import Work
from core.backends.cuda_graph.compiler import Compiler
from core.kv_cache import KVCache
from core.transformer import Transformer

CPU = torch.device("cpu")


class Again:
    """Does the work anew whenever it is replayed, after spoiling what it gave before.

    Whoever reads a result after something else was replayed, or expects one that was not, finds NaN.
    """

    def __init__(self) -> None:
        self.captures = self.replays = 0
        self.outs: list[Tensor] = []  # to be spoiled

    def capture(self, work: Work) -> Work:
        self.captures += 1
        work()

        def replay() -> None:
            self.replays += 1
            for out in self.outs:
                out.fill_(torch.nan)
            work()

        return replay

    def fetch(self, result: Tensor) -> NDArray[Any]:
        found: NDArray[Any] = result.numpy().copy()
        return found


class Refuses(Again):
    """Cannot record from the n-th time on."""

    def __init__(self, after: int = 0) -> None:
        super().__init__()
        self._after = after

    def capture(self, work: Work) -> Work:
        if self.captures >= self._after:
            raise RuntimeError("operation not permitted when stream is capturing\nand a second line")
        return super().capture(work)


class Stale(Again):
    """Replays what it has recorded with the numbers it was recorded with, as if addresses had been missed."""

    def capture(self, work: Work) -> Work:
        super().capture(work)
        return lambda: None


class Lies(Again):
    """Replays something else."""

    def capture(self, work: Work) -> Work:
        replay = super().capture(work)

        def other() -> None:
            replay()
            for out in self.outs:
                out.add_(1.0)

        return other


def step_of(
    transformer: Transformer, capturer: Again, compiler: Compiler | None = None, dtype: torch.dtype = torch.float32
) -> CudaGraphBackend:
    backend = CudaGraphBackend(transformer, device=CPU, dtype=dtype, capturer=capturer, compiler=compiler)
    capturer.outs = [backend._hidden, backend._logits]
    return backend


def written(backend: CudaGraphBackend, cache: KVCache, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states and logits of tokens (1, time), one step each."""
    where = backend._hidden
    hidden = torch.full((tokens.shape[1], where.shape[1]), torch.nan, dtype=where.dtype, device=where.device)
    logits = []
    for n, token in enumerate(tokens[0].tolist()):
        backend.forward([token], cache, hidden[n : n + 1])
        logits.append(torch.from_numpy(backend.logits(hidden[n : n + 1]).copy()))
    return hidden, torch.cat(logits)
