"""One pass of the transformer after another over one sequence: its cache, and the hidden state of every position.

Knows no sampling and no guesses: whoever calls decides which tokens are read, and when some are forgotten.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.backends.choose import Backend, choose_backend
from core.backends.cuda_graph.compiler import Compiler
from core.backends.native import NativeBackend
from core.device import is_out_of_memory
from core.errors import OutOfMemory
from core.kv_cache import KVCache
from core.native.bindings import MAX_STEP_TOKENS
from core.quantization.packed import packed_in
from core.transformer import Transformer

# Tokens of a prompt that are read in one pass, between two looks at the stop flag. The more, the less each one costs,
# as the weights are fetched once (and unpacked, if they are quantised); but a big model is to hear a stop soon, too.
CHUNK, _SHORTEST = 512, 128
_FEW = 64  # if torch has to unpack all weights first
_WORK = 140e9  # multiplications in one pass, about
_PATIENCE = 0.5  # seconds of one pass, where its length is free


class ModelRunner:
    """The positions read so far, 0 to `length`."""

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        native: bool = True,
        n_threads: int | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        """
        Args:
            native: read a few tokens at a time with the C library, or one as a CUDA graph, where that is possible.
            n_threads: of the library; None for as many as torch has.
            compiler: fuses what is recorded as a CUDA graph, in the background.
        """
        self.transformer = transformer
        self._device = device
        self.cache = KVCache(transformer.config, device=device, dtype=dtype)
        self._backend: Backend | None = None
        self._why_none: str | None = "it was not wanted"
        if native:
            found = choose_backend(
                transformer, self.cache, device=device, dtype=dtype, n_threads=n_threads, compiler=compiler
            )
            self._backend, self._why_none = found
        self._chunk = prefill_chunk_size(transformer)
        self._few = 1  # tokens that are read in steps sooner than in torch
        if self.reads_ahead:
            self._few = _FEW if packed_in(transformer) else MAX_STEP_TOKENS
        self._room = 0  # positions; not asked of the tensors, which takes longer than one should think
        self._hidden = torch.empty(0, transformer.config.d_model, device=device, dtype=dtype)  # (room, d_model)

    @property
    def fallback_reason(self) -> str | None:
        """Why a token is decoded in plain torch; None if it is not."""
        return self._why_none if self._backend is None else self._backend.why_not

    @property
    def how(self) -> str:
        """What decodes a token: "C", "CUDA graph", "compiled CUDA graph" or "torch"."""
        return "torch" if self._backend is None or self._backend.why_not is not None else self._backend.how

    @property
    def reads_ahead(self) -> bool:
        """Whether several tokens, up to `MAX_STEP_TOKENS`, are read in little more time than one."""
        return isinstance(self._backend, NativeBackend)

    @property
    def length(self) -> int:
        return self.cache.length

    @property
    def limit(self) -> int:
        """The most positions there can be."""
        return self.cache.limit

    def tokens_until_reprefill(self, length: int, most: int) -> int:
        """The tokens, at most so many, that can be added to a text of this length with nothing read anew; -1 if the
        text itself cannot."""
        most = min(most, self.limit - length)
        if not self.needs_reprefill(length) and not self.needs_reprefill(length + most):
            return most
        return next((n for n in range(most + 1) if self.needs_reprefill(length + n)), most + 1) - 1

    def needs_reprefill(self, length: int) -> bool:
        """Whether a text of this length has every position turned otherwise than what was read so far."""
        return self.transformer.uses_long_rope(length) != self.cache.long

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.cache.rewind(length)

    def chunks(self, ids: list[int]) -> Iterator[list[int]]:
        """The tokens in parts, each of which is one pass, to be read before the next is asked for."""
        while ids:
            part, ids = ids[: self._chunk], ids[self._chunk :]
            yield part

    def read(self, ids: list[int], *, length: int, known: int = 0) -> None:
        """One pass over the next tokens of a text that will have `length`.

        Args:
            known: the hidden states of the first so many positions stay as they were recorded.

        Raises:
            OutOfMemory: there is no room for them; then none is read.
        """
        start, end = self.length, self.length + len(ids)
        first = min(max(start, known), end)
        try:
            self._make_room(end)
            if first == start:
                self._pass(ids, self._hidden[start:end], length)
            else:
                hidden = self._hidden.new_empty(len(ids), self._hidden.shape[1])
                self._pass(ids, hidden, length)
                self._hidden[first:end] = hidden[first - start :]
        except (MemoryError, RuntimeError) as error:
            self._give_up(error, start, end)

    def decode(self, ids: list[int]) -> NDArray[np.float32]:
        """Read a few tokens, at most `MAX_STEP_TOKENS`, and say what the model expects after each: (len(ids), vocab).

        Raises:
            OutOfMemory: there is no room for them; then none is read.
        """
        start, end = self.length, self.length + len(ids)
        try:
            self._make_room(end)
            if self._backend is not None and len(ids) <= self._few:
                return self._backend.decode(ids, self.cache, self._hidden, start)
            self._pass(ids, self._hidden[start:end], end)
        except (MemoryError, RuntimeError) as error:
            self._give_up(error, start, end)
        return self.logits(start, len(ids))

    def _give_up(self, error: Exception, start: int, end: int) -> NoReturn:
        """Positions from `start` to `end` could not be read."""
        if not is_out_of_memory(error):
            raise error
        self.cache.rewind(start)
        raise OutOfMemory(
            f"There is not enough memory on {self._device} for {end} tokens of context.",
            "Use a smaller --context, a smaller model or another --device.",
        ) from error

    def _pass(self, ids: list[int], hidden: Tensor, length: int) -> None:
        """Read tokens, whose hidden states go into `hidden` (len(ids), d_model)."""
        backend = self._backend
        if isinstance(backend, NativeBackend) and MAX_STEP_TOKENS < len(ids) <= backend.most:
            began = time.perf_counter()
            backend.read(ids, self.cache, hidden, length=length)
            self._learn(len(ids), time.perf_counter() - began)
        elif backend is not None and len(ids) <= self._few:
            for at in range(0, len(ids), MAX_STEP_TOKENS):
                part = ids[at : at + MAX_STEP_TOKENS]
                backend.forward(part, self.cache, hidden[at : at + len(part)], length=length)
        else:
            with torch.inference_mode():
                tokens = torch.tensor([ids], device=self._device)
                hidden[:] = self.transformer(tokens, self.cache, length=length)[0]

    @torch.inference_mode()
    def logits(self, position: int, count: int = 1) -> NDArray[np.float32]:
        """What the model expects after each of `count` positions, at most `MAX_STEP_TOKENS`: (count, vocab).

        One matrix product, no forward pass.
        """
        hidden = self._hidden[position : position + count]  # (count, d_model)
        if self._backend is not None:
            return self._backend.logits(hidden)
        logits: NDArray[np.float32] = self.transformer.unembed(hidden.squeeze(0)).cpu().numpy()  # of one: (vocab,)
        return logits.reshape(count, -1)

    def _learn(self, count: int, seconds: float) -> None:
        """C gives the same numbers however a text is cut, so passes may be as long as one may wait for a stop."""
        if count >= _SHORTEST:
            affordable = int(_PATIENCE * count / max(seconds, 1e-6)) // _SHORTEST * _SHORTEST
            self._chunk = min(CHUNK, max(_SHORTEST, affordable))

    def _make_room(self, length: int) -> None:
        if length > self._room:
            self._grow(length)

    @torch.inference_mode()
    def _grow(self, length: int) -> None:
        self.cache.reserve(length)
        grown = self._hidden.new_empty(self.cache.capacity, self._hidden.shape[1])
        grown[: self.length] = self._hidden[: self.length]
        self._hidden, self._room = grown, self.cache.capacity


def prefill_chunk_size(transformer: Transformer) -> int:
    """The same on every machine, as numbers depend on it in the last bits; longer where weights have to be unpacked."""
    quantised = sum(one.rows * one.columns for one in packed_in(transformer))
    n_weights = quantised // 2 + sum(one.numel() for one in transformer.parameters())
    affordable = int(_WORK / max(1, n_weights)) // _SHORTEST * _SHORTEST
    return min(CHUNK, max(_SHORTEST, affordable))
