"""Where a draft model keeps what it has read: in a cache of its own, or in that of the model it drafts for.

Must not know which tokens are proposed, and how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from core.backends.base import Backend
from core.decoding.decoder import Decoder
from core.kv_cache import KVCache


class DraftCache(Protocol):
    """A draft model and what it has read of a sequence: all of it, or a part."""

    def behind(self, ids: Sequence[int]) -> int:
        """How many of these tokens are still to be read before it is near enough to propose what follows."""
        ...

    def catch_up(self, ids: Sequence[int]) -> int:
        """Read a part of those, so long as a stop may wait; how many."""
        ...

    def start(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits (vocab,) after these tokens."""
        ...

    def extend(self, token_id: int) -> NDArray[np.float32]:
        """The logits (vocab,) after one more, which is only proposed."""
        ...

    def finish(self) -> None:
        """The proposal is made."""

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""


class OwnCache:
    """A model that reads everything the other one reads, a little later."""

    def __init__(self, decoder: Decoder) -> None:
        """
        Args:
            decoder: nobody else uses it.
        """
        self._decoder = decoder
        self._same = 0  # tokens that it has read as they are in the sequence, as far as is known

    def behind(self, ids: Sequence[int]) -> int:
        """Tokens before the last few, which are read when it guesses. Goes back to where the texts part."""
        old = self._decoder.ids
        end = min(len(old), len(ids) - 1)  # the last token has to be read, or there are no logits
        self._same = min(self._same, end)
        while self._same < end and old[self._same] == ids[self._same]:
            self._same += 1
        if self._same < len(old):
            self._decoder.rewind(self._same)
        left = len(ids) - self._same
        return left - 1 if left > self._decoder.backend.max_step_tokens else 0

    def catch_up(self, ids: Sequence[int]) -> int:
        """A chunk of them."""
        before = self._same
        self._same = next(self._decoder.prefill(ids[self._same : -1]))
        return max(1, self._same - before)  # a text that became long is read anew from its beginning

    def start(self, ids: Sequence[int]) -> NDArray[np.float32]:
        for _ in self._decoder.prefill(ids[self._same :]):
            pass
        return self._decoder.logits(len(ids) - 1)

    def extend(self, token_id: int) -> NDArray[np.float32]:
        return self._decoder.decode_one(token_id)

    def finish(self) -> None:
        """What was proposed stays: it may be right."""

    def forget(self, length: int) -> None:
        self._same = min(self._same, length)


class SharedCache:
    """The model's own weights in fewer bits: they go on from the model's own keys and values, so nothing is read twice.

    What they write behind those is overwritten when the model reads the same positions.
    """

    def __init__(self, cache: KVCache, backend: Backend) -> None:
        """
        Args:
            cache: of the model.
            backend: of its weights in fewer bits.
        """
        self._cache, self._backend = cache, backend
        self._length: int | None = None  # of what the model has read, while there is more behind it
        self._hidden = torch.empty(1, backend.transformer.config.d_model, dtype=backend.dtype)

    def behind(self, ids: Sequence[int]) -> int:
        return 0

    def catch_up(self, ids: Sequence[int]) -> int:
        return 0

    def start(self, ids: Sequence[int]) -> NDArray[np.float32]:
        self._length = self._cache.length
        return self.extend(ids[-1])

    def extend(self, token_id: int) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self._backend.decode([token_id], self._cache, self._hidden)[0]
        return logits

    def finish(self) -> None:
        if self._length is not None:
            self._cache.rewind(self._length)
        self._length = None

    def forget(self, length: int) -> None:
        """The model does."""
