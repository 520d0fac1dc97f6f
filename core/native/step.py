"""A decoding step by the C library: a few tokens in, their hidden states and logits out. Knows no sampling."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from ctypes import addressof, byref, c_int64

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.cache import KVCache
from core.config import ModelConfig
from core.native.library import MAX_TOKENS, Run, library, why_absent
from core.native.packing import FORMATS
from core.native.plan import Plan
from core.transformer import Transformer

MOST = MAX_TOKENS  # tokens in one step


def why_not(transformer: Transformer, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a model has to be run in torch; None if it need not."""
    return why_no_step(transformer.config, device, dtype)


def why_no_step(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    """The same, before there is a model."""
    if device.type != "cpu":
        return f"it is for the CPU, and this is {device}"
    if library() is None:
        return why_absent()
    if dtype not in FORMATS:
        return f"it computes in float32 and bfloat16, not in {str(dtype).removeprefix('torch.')}"
    if config.expert_layers and config.n_experts_used > MOST:
        return f"a token goes through {config.n_experts_used} experts, and it knows of {MOST} at most"
    return None


class NativeStep:
    """The transformer's own weights and the cache that torch fills, read by the library. For what `why_not` allows."""

    def __init__(self, transformer: Transformer, *, dtype: torch.dtype, n_threads: int) -> None:
        found = library()
        assert found is not None  # see `why_not`
        self._library = found
        self._transformer = transformer
        self._plan = Plan(transformer, dtype)
        self._format = FORMATS[dtype]
        config = transformer.config
        self._pool = found.logitscope_pool(n_threads, self._plan.columns, config.d_head)
        if self._pool is None:
            raise MemoryError(f"{n_threads} threads could not be started")
        freed = weakref.finalize(self, found.logitscope_free, self._pool)
        freed.atexit = False  # then a thread may still be at work
        self._turns: list[tuple[Tensor, Tensor]] = []  # cosines and sines, see `_tables`
        self._turned_for = (0, False)  # how many positions they are for, and whether of a long text
        self._logits = np.empty((MOST, config.vocab_size), dtype=np.float32)

    def forward(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, *, length: int = 0) -> None:
        """Read tokens after those cached, and add them to the cache.

        Args:
            ids: at most `MOST`, each below the vocabulary's size.
            hidden: (len(ids), d_model), contiguous: where the hidden states after the last norm go.
            length: of the whole text, if more of it follows; see `Transformer.forward`.

        Raises:
            ValueError: they do not fit, are no tokens of the model or too many, what is cached was turned otherwise
                than a text of this length is, or the hidden states have no such place.
        """
        vocab_size = self._transformer.config.vocab_size
        if not 1 <= len(ids) <= MOST or min(ids) < 0 or max(ids) >= vocab_size:
            raise ValueError(f"a step takes 1 to {MOST} tokens below {vocab_size}, not {list(ids)}")
        self._check(hidden, len(ids))
        start, end = cache.length, cache.length + len(ids)
        long = self._transformer.is_long(max(end, length))
        cache.reserve(end)
        cache.turn(long)
        tokens = (c_int64 * len(ids))(*ids)
        run = Run(n_tokens=len(ids), start=start, format=self._format, capacity=cache.capacity)
        run.tokens = addressof(tokens)
        run.keys, run.values, run.hidden = cache.keys.data_ptr(), cache.values.data_ptr(), hidden.data_ptr()
        for number, (cos, sin) in enumerate(self._tables(cache.capacity, long)):
            run.cos[number], run.sin[number] = cos.data_ptr(), sin.data_ptr()
        self._library.logitscope_run(self._pool, self._plan.forward, len(self._plan.forward), byref(run))
        cache.advance(len(ids))

    def logits(self, hidden: Tensor) -> NDArray[np.float32]:
        """(n, vocab) for hidden states (n, d_model), contiguous, n at most `MOST`. Overwritten by the next call.

        Raises:
            ValueError: these are no such hidden states.
        """
        self._check(hidden, len(hidden))
        run = Run(n_tokens=len(hidden), format=self._format)
        run.hidden, run.logits = hidden.data_ptr(), self._logits.ctypes.data
        self._library.logitscope_run(self._pool, self._plan.unembed, len(self._plan.unembed), byref(run))
        return self._logits[: len(hidden)]

    def _check(self, hidden: Tensor, count: int) -> None:
        """C believes every address and size, so what is wrong has to be noticed here."""
        shape = (count, self._transformer.config.d_model)
        fits = hidden.shape == shape and hidden.is_contiguous() and FORMATS.get(hidden.dtype) == self._format
        if not fits or count > MOST:
            raise ValueError(f"these are no {count} hidden states in a row: {tuple(hidden.shape)} of {hidden.dtype}")

    def _tables(self, positions: int, long: bool) -> list[tuple[Tensor, Tensor]]:
        """How positions turn in ordinary layers and in windowed ones, worked out as far as the cache reaches."""
        transformer = self._transformer
        if transformer.config.positions == "rotary" and self._turned_for != (positions, long):
            local = [] if transformer.config.rotary_local is None else [transformer.rotary_local]
            tables = [one(torch.arange(positions), long=long) for one in (transformer.rotary, *local)]
            tables = [(cos.float().contiguous(), sin.float().contiguous()) for cos, sin in tables]
            self._turns, self._turned_for = [tables[0], tables[-1]], (positions, long)
        return self._turns
