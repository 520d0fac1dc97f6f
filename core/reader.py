"""One pass of the transformer after another over one sequence: its cache, and the hidden state of every position.

Knows no sampling and no guesses: whoever calls decides which tokens are read, and when some are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from core.cache import KVCache
from core.device import is_out_of_memory
from core.errors import OutOfMemory
from core.native.step import MOST, NativeStep, why_not
from core.quantized import packed_in
from core.transformer import Transformer

# Tokens of a prompt that are read in one pass, between two looks at the stop flag. The more, the less each one costs,
# as the weights are fetched once (and unpacked, if they are quantised); but a big model is to hear a stop soon, too.
CHUNK, _SHORTEST = 512, 128
_FEW = 64  # if torch has to unpack all weights first
_WORK = 140e9  # multiplications in one pass, about


class Reader:
    """The positions read so far, 0 to `length`."""

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        native: bool = True,
        n_threads: int | None = None,
    ) -> None:
        """
        Args:
            native: read a few tokens at a time with the C library, where it can.
            n_threads: of that; None for as many as torch has.
        """
        self.transformer = transformer
        self.step: NativeStep | None = None  # reads a few tokens at once; None: torch reads them
        self.why_torch = why_not(transformer, device, dtype) if native else "it was not wanted"  # None: it need not
        if self.why_torch is None:
            try:
                self.step = NativeStep(transformer, dtype=dtype, n_threads=n_threads or torch.get_num_threads())
            except MemoryError as error:
                self.why_torch = str(error)
        self._device = device
        self._chunk = chunk_of(transformer)
        self._few = _FEW if packed_in(transformer) else MOST  # tokens that are read in a step sooner than in torch
        self.cache = KVCache(transformer.config, device=device, dtype=dtype)
        self._hidden = torch.empty(0, transformer.config.d_model, device=device, dtype=dtype)  # (capacity, d_model)

    @property
    def length(self) -> int:
        return self.cache.length

    @property
    def limit(self) -> int:
        """The most positions there can be."""
        return self.cache.limit

    def room_behind(self, length: int, most: int) -> int:
        """The tokens, at most so many, that can be added to a text of this length with nothing read anew; -1 if the
        text itself cannot."""
        most = min(most, self.limit - length)
        if not self.must_start_anew(length) and not self.must_start_anew(length + most):
            return most
        return next((n for n in range(most + 1) if self.must_start_anew(length + n)), most + 1) - 1

    def must_start_anew(self, length: int) -> bool:
        """Whether a text of this length has every position turned otherwise than what was read so far."""
        return self.transformer.is_long(length) != self.cache.long

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.cache.rewind(length)

    def chunks(self, ids: list[int]) -> Iterator[list[int]]:
        """The tokens in parts, each of which is one pass."""
        return (ids[start : start + self._chunk] for start in range(0, len(ids), self._chunk))

    @torch.inference_mode()
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
            if self.step is not None and len(ids) <= self._few and first == start:
                for at in range(0, len(ids), MOST):
                    part = ids[at : at + MOST]
                    self.step.forward(part, self.cache, self._hidden[start + at :][: len(part)], length=length)
            else:
                tokens = torch.tensor([ids], device=self._device)
                hidden = self.transformer(tokens, self.cache, length=length)  # (1, time, d_model)
                self._hidden[first:end] = hidden[0, first - start :]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self.cache.rewind(start)
            raise OutOfMemory(
                f"There is not enough memory on {self._device} for {end} tokens of context.",
                "Use a smaller --context, a smaller model or another --device.",
            ) from error

    @torch.inference_mode()
    def logits(self, position: int, count: int = 1) -> NDArray[np.float32]:
        """What the model expects after each of `count` positions, at most `MOST`: (count, vocab).

        One matrix product, no forward pass.
        """
        hidden = self._hidden[position : position + count]  # (count, d_model)
        if self.step is not None:
            return self.step.logits(hidden).copy()
        logits: NDArray[np.float32] = self.transformer.unembed(hidden.squeeze(0)).cpu().numpy()  # of one: (vocab,)
        return logits.reshape(count, -1)

    def _make_room(self, length: int) -> None:
        self.cache.reserve(length)
        if length > len(self._hidden):
            grown = self._hidden.new_empty(self.cache.capacity, self._hidden.shape[1])
            grown[: self.length] = self._hidden[: self.length]
            self._hidden = grown


def chunk_of(transformer: Transformer) -> int:
    """The same on every machine, as numbers depend on it in the last bits; longer where weights have to be unpacked."""
    quantised = sum(one.rows * one.columns for one in packed_in(transformer))
    n_weights = quantised // 2 + sum(one.numel() for one in transformer.parameters())
    affordable = int(_WORK / max(1, n_weights)) // _SHORTEST * _SHORTEST
    return min(CHUNK, max(_SHORTEST, affordable))
