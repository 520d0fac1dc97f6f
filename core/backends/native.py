"""The forward pass by the C library: tokens in, their hidden states and logits out. Knows no sampling."""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from ctypes import addressof, byref, c_char, c_int64
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.backends.eager import MIN_PREFILL_TOKENS, EagerBackend
from core.backends.native_program import Program
from core.config import ModelConfig
from core.kv_cache import KVCache
from core.native.bindings import MAX_PREFILL_TOKENS, MAX_STEP_TOKENS, Run, library, load_error
from core.native.quantize import FORMATS
from core.quantization.layers import packed_in
from core.transformer import Transformer

_MAX_STEPWISE = 64  # tokens of a prompt, of a model with packed weights
_PATIENCE = 0.5  # seconds of one pass in C, whose length is free


def fallback_reason(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a model has to be run in torch; None if the library can run it."""
    if device.type != "cpu":
        return f"it is for the CPU, and this is {device}"
    if library() is None:
        return load_error()
    if dtype not in FORMATS:
        return f"it computes in float32 and bfloat16, not in {str(dtype).removeprefix('torch.')}"
    if config.expert_layers and config.n_experts_used > MAX_STEP_TOKENS:
        return f"a token goes through {config.n_experts_used} experts, and it knows of {MAX_STEP_TOKENS} at most"
    return None


def can_prefill(transformer: Transformer, dtype: torch.dtype) -> bool:
    """Whether the library can read many tokens of this model in one pass, see api.h."""
    config, library_ = transformer.config, library()
    whole = all(parameter.dtype == dtype for parameter in transformer.parameters() if parameter.dim() == 2)
    readable = whole and dtype == torch.bfloat16 and not config.expert_layers and config.d_head % 2 == 0
    return readable and library_ is not None and bool(library_.logitscope_can_prefill())


class _Places(NamedTuple):
    """Where the newest step found everything. Kept alive by others, who may let go of it before the next step."""

    keys: weakref.ref[Tensor]
    values: weakref.ref[Tensor]
    hidden: weakref.ref[Tensor]
    long: bool
    run: Run  # that points at them
    n_rows: int
    row_bytes: int

    def are_those_of(self, cache: KVCache, hidden: Tensor, long: bool) -> bool:
        return (
            self.hidden() is hidden
            and self.keys() is cache.keys
            and self.values() is cache.values
            and self.long == long
        )


class NativeBackend:
    """The transformer's own weights and the cache that torch fills, read by the library. See `fallback_reason`."""

    name, fallback_reason, max_step_tokens = "C", None, MAX_STEP_TOKENS

    def __init__(self, transformer: Transformer, *, dtype: torch.dtype, n_threads: int) -> None:
        """
        Raises:
            MemoryError: so many threads could not be started.
        """
        native = library()
        assert native is not None  # see `fallback_reason`
        self._library = native
        self.transformer, self.device, self.dtype = transformer, torch.device("cpu"), dtype
        self._program = Program(transformer, dtype)
        prefills = can_prefill(transformer, dtype)
        self._prefill_program = Program(transformer, dtype, prefill=True) if prefills else None
        self._eager = EagerBackend(transformer, device=self.device, dtype=dtype)
        self.max_prefill_tokens = self._eager.max_prefill_tokens
        # Tokens that are read in steps sooner than in torch, which has to dequantize all weights first.
        self._max_stepwise = _MAX_STEPWISE if packed_in(transformer) else MAX_STEP_TOKENS
        self._format = FORMATS[dtype]
        config = transformer.config
        self._workspace = native.logitscope_create_workspace(n_threads, self._program.columns, config.d_head)
        if self._workspace is None:
            raise MemoryError(f"{n_threads} threads could not be started")
        freed = weakref.finalize(self, native.logitscope_free_workspace, self._workspace)
        freed.atexit = False  # then a thread may still be at work
        # For how many positions, and whether of a long text; cosines and sines, see `_tables`.
        self._cos_sin: tuple[tuple[int, bool], list[tuple[Tensor, Tensor]]] = ((0, False), [])
        self._vocab_size = config.vocab_size
        # After a token everything has to come from memory again, Python too; so what stays as it was is not looked at.
        self._places: _Places | None = None

    def warm_up(self, cache: KVCache) -> None:
        """Nothing is to be done."""

    def prefill(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        if self._prefill_program is not None and len(ids) > MAX_STEP_TOKENS:
            began = time.perf_counter()
            self.prefill_pass(ids, cache, hidden)
            self._adapt(len(ids), time.perf_counter() - began)
        elif len(ids) <= self._max_stepwise:
            for at in range(0, len(ids), MAX_STEP_TOKENS):
                part = ids[at : at + MAX_STEP_TOKENS]
                self.forward(part, cache, hidden[at : at + len(part)])
        else:
            self._eager.prefill(ids, cache, hidden)

    def _adapt(self, count: int, seconds: float) -> None:
        """C gives the same numbers however a text is cut, so passes may be as long as one may wait for a stop."""
        if count >= MIN_PREFILL_TOKENS:
            affordable = int(_PATIENCE * count / max(seconds, 1e-6)) // MIN_PREFILL_TOKENS * MIN_PREFILL_TOKENS
            self.max_prefill_tokens = min(MAX_PREFILL_TOKENS, max(MIN_PREFILL_TOKENS, affordable))

    def forward(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        """Read tokens after those cached, and add them to the cache.

        Args:
            ids: at most `MAX_STEP_TOKENS`, each below the vocabulary's size.
            hidden: (n, d_model), contiguous: where the hidden states after the last norm go, n at least len(ids).

        Raises:
            ValueError: they do not fit, are no tokens of the model or too many, what is cached has another
                rope than a text of this length, or the hidden states have no such place.
        """
        run = self._prepared(ids, cache, hidden, 0, MAX_STEP_TOKENS)
        self._run(self._program.forward, run)
        cache.advance(len(ids))

    def decode(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, at: int = 0) -> NDArray[np.float32]:
        """`forward`, then `logits`, in one call, between whose halves no thread has to be woken."""
        run = self._prepared(ids, cache, hidden, at, MAX_STEP_TOKENS)
        logits = np.empty((len(ids), self._vocab_size), dtype=np.float32)
        run.logits = addressof(c_char.from_buffer(logits.data))
        self._run(self._program.decode, run)
        cache.advance(len(ids))
        return logits

    def prefill_pass(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        """`forward` for up to `MAX_PREFILL_TOKENS`, if `can_prefill`: faster, with other numbers in the last bits.

        Those of a token do not depend on which others are read in the same pass.

        Raises:
            ValueError: as `forward`.
            MemoryError: there is too little memory to work in.
        """
        assert self._prefill_program is not None
        run = self._prepared(ids, cache, hidden, 0, MAX_PREFILL_TOKENS)
        operations = self._prefill_program.forward
        if not self._library.logitscope_prefill(self._workspace, operations, len(operations), byref(run)):
            raise MemoryError("there is not enough memory to read many tokens at once")
        cache.advance(len(ids))

    def logits(self, hidden: Tensor) -> NDArray[np.float32]:
        """(n, vocab) for hidden states (n, d_model), contiguous, n at most `MAX_STEP_TOKENS`.

        Raises:
            ValueError: these are no such hidden states.
        """
        if len(hidden) > MAX_STEP_TOKENS:
            raise ValueError(f"logits of {MAX_STEP_TOKENS} hidden states at most, not of {len(hidden)}")
        self._check(hidden)
        logits = np.empty((len(hidden), self._vocab_size), dtype=np.float32)
        run = Run(n_tokens=len(hidden), format=self._format, hidden=hidden.data_ptr(), logits=logits.ctypes.data)
        self._run(self._program.unembed, run)
        return logits

    def _run(self, operations: Any, run: Run) -> None:
        self._library.logitscope_decode(self._workspace, operations, len(operations), byref(run))

    def _prepared(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, at: int, most: int) -> Run:
        """What a step has to know, and room in the cache."""
        if not 1 <= len(ids) <= most or min(ids) < 0 or max(ids) >= self._vocab_size:
            raise ValueError(f"a step takes 1 to {most} tokens below {self._vocab_size}, not {list(ids)}")
        start = cache.length
        cache.begin_pass(len(ids))
        long = cache.long
        places = self._places
        if places is None or not places.are_those_of(cache, hidden, long):
            places = self._places = self._find(cache, hidden, long)
        if not 0 <= at <= places.n_rows - len(ids):
            raise ValueError(f"{len(ids)} hidden states do not fit into {places.n_rows} rows from row {at} on")
        tokens = (c_int64 * len(ids))(*ids)
        run = Run.from_buffer_copy(places.run)
        run.n_tokens, run.start, run.tokens, run.kept = len(ids), start, addressof(tokens), (tokens, places)
        run.hidden += at * places.row_bytes
        return run

    def _find(self, cache: KVCache, hidden: Tensor, long: bool) -> _Places:
        """Point at what was not there before, or has moved."""
        self._check(hidden)
        run, tables = Run(format=self._format, capacity=cache.capacity), self._tables(cache.capacity, long)
        run.keys, run.values, run.hidden = cache.keys.data_ptr(), cache.values.data_ptr(), hidden.data_ptr()
        for number, (cos, sin) in enumerate(tables):
            run.cos[number], run.sin[number] = cos.data_ptr(), sin.data_ptr()
        run.kept = tables
        return _Places(
            keys=weakref.ref(cache.keys),
            values=weakref.ref(cache.values),
            hidden=weakref.ref(hidden),
            long=long,
            run=run,
            n_rows=len(hidden),
            row_bytes=hidden.shape[1] * hidden.itemsize,
        )

    def _check(self, hidden: Tensor) -> None:
        """C believes every address and size, so what is wrong has to be noticed here."""
        width = self.transformer.config.d_model
        fits = hidden.dim() == 2 and hidden.shape[1] == width and hidden.is_contiguous()
        if not fits or FORMATS.get(hidden.dtype) != self._format:
            raise ValueError(f"these are no hidden states in a row: {tuple(hidden.shape)} of {hidden.dtype}")

    def _tables(self, positions: int, long: bool) -> list[tuple[Tensor, Tensor]]:
        """Rope's cosines and sines of ordinary layers and of windowed ones, worked out as far as the cache reaches."""
        transformer, (made_for, tables) = self.transformer, self._cos_sin
        if transformer.config.positions == "rope" and made_for != (positions, long):
            local = [] if transformer.config.rope_local is None else [transformer.rope_local]
            ropes = [rope(torch.arange(positions), long=long) for rope in (transformer.rope, *local)]
            ropes = [(cos.float().contiguous(), sin.float().contiguous()) for cos, sin in ropes]
            tables = [ropes[0], ropes[-1]]
            self._cos_sin = ((positions, long), tables)
        return tables
