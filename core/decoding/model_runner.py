"""One forward pass after another over one sequence: its KV cache, and the hidden state of every position.

Knows no sampling and no tokens read ahead: whoever calls decides which tokens are read, and when some are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np
import torch
from numpy.typing import NDArray

from core.backends.base import Backend
from core.backends.device import is_out_of_memory
from core.errors import OutOfMemory
from core.kv_cache import KVCache


class ModelRunner:
    """The positions read so far, 0 to `length`."""

    def __init__(self, backend: Backend) -> None:
        """
        Args:
            backend: computes the passes. Nobody else uses it.
        """
        config, device, dtype = backend.transformer.config, backend.device, backend.dtype
        self.backend = backend
        self.cache = KVCache(config, device=device, dtype=dtype)
        self._capacity = 0  # positions; not asked of the tensors, which takes longer than one should think
        self._hidden = torch.empty(0, config.d_model, device=device, dtype=dtype)  # (capacity, d_model)
        backend.warm_up(self.cache)

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
        """Whether a text of this length has another rope than what was read so far, at every position."""
        return self.uses_long_rope(length) != self.cache.long

    def uses_long_rope(self, length: int) -> bool:
        """See `ModelConfig.uses_long_rope`."""
        return self.backend.transformer.config.uses_long_rope(length)

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on."""
        self.cache.rewind(length)

    def chunks(self, ids: list[int]) -> Iterator[list[int]]:
        """The tokens in parts, each of which is one pass, to be read before the next is asked for."""
        while ids:
            chunk = self.backend.max_prefill_tokens
            part, ids = ids[:chunk], ids[chunk:]
            yield part

    def prefill(self, ids: list[int], *, length: int, known: int = 0) -> None:
        """One pass over the next tokens of a text that will have `length`.

        Args:
            known: the hidden states of the first so many positions stay as they were recorded.

        Raises:
            OutOfMemory: there is no room for them; then none is read.
        """
        start, end = self.length, self.length + len(ids)
        first = min(max(start, known), end)
        self.cache.text_length = length
        try:
            self._reserve(end)
            if first == start:
                self.backend.prefill(ids, self.cache, self._hidden[start:end])
            else:
                hidden = self._hidden.new_empty(len(ids), self._hidden.shape[1])
                self.backend.prefill(ids, self.cache, hidden)
                with torch.inference_mode():  # in which these rows were made
                    self._hidden[first:end] = hidden[first - start :]
        except (MemoryError, RuntimeError) as error:
            self._give_up(error, start, end)

    def decode(self, ids: list[int]) -> NDArray[np.float32]:
        """Read a few tokens, at most the backend's `max_step_tokens`; what the model expects after each: (n, vocab).

        Raises:
            OutOfMemory: there is no room for them; then none is read.
        """
        start, end = self.length, self.length + len(ids)
        self.cache.text_length = end
        try:
            if end > self._capacity:
                self._reserve(end)
            return self.backend.decode(ids, self.cache, self._hidden, start)
        except (MemoryError, RuntimeError) as error:
            self._give_up(error, start, end)

    def logits(self, position: int) -> NDArray[np.float32]:
        """What the model expects after a position: (vocab,). One matrix product, no forward pass."""
        logits: NDArray[np.float32] = self.backend.logits(self._hidden[position : position + 1])[0]
        return logits

    def _give_up(self, error: Exception, start: int, end: int) -> NoReturn:
        """Positions from `start` to `end` could not be read."""
        if not is_out_of_memory(error):
            raise error
        self.cache.rewind(start)
        raise OutOfMemory(
            f"There is not enough memory on {self.backend.device} for {end} tokens of context.",
            "Use a smaller --context, a smaller model or another --device.",
        ) from error

    @torch.inference_mode()
    def _reserve(self, length: int) -> None:
        """Make room for so many positions."""
        if length <= self._capacity:
            return
        self.cache.reserve(length)
        grown = self._hidden.new_empty(self.cache.capacity, self._hidden.shape[1])
        grown[: self.length] = self._hidden[: self.length]
        self._hidden, self._capacity = grown, self.cache.capacity
