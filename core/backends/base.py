"""What every backend offers: the forward pass over the next tokens of one sequence. Must not know sampling or text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.kv_cache import KVCache
from core.transformer import Transformer


class Backend(Protocol):
    """Reads tokens after those in a KV cache, which it fills, and gives hidden states and logits.

    Whatever backend reads a token, its numbers are those of the transformer but for rounding.
    """

    @property
    def transformer(self) -> Transformer: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def name(self) -> str:
        """What decodes a token: "C", "CUDA graph", "compiled CUDA graph" or "torch"."""
        ...

    @property
    def fallback_reason(self) -> str | None:
        """Why a token is decoded in plain torch; None if it is not."""
        ...

    @property
    def max_step_tokens(self) -> int:
        """Tokens that `decode` takes at once. More than 1 only where they cost little more than one."""
        ...

    @property
    def max_prefill_tokens(self) -> int:
        """Tokens that `prefill` is to be given at once: the more, the less each one costs, but a stop waits for it."""
        ...

    def warm_up(self, cache: KVCache) -> None:
        """Whatever is to be done once, with the empty cache of a new sequence."""
        ...

    def prefill(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        """Read a part of a prompt.

        Args:
            ids: (n,), n at most `max_prefill_tokens`, each below the vocabulary's size.
            hidden: (n, d_model), contiguous: where the hidden states after the last norm go.

        Raises:
            ValueError: they do not fit, or what is cached has another rope than a text of this length.
            MemoryError, RuntimeError: there is no room for them; the cache is as long as before.
        """
        ...

    def decode(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, at: int = 0) -> NDArray[np.float32]:
        """Read a few tokens; what the model expects after each: (n, vocab).

        Args:
            ids: (n,), n at most `max_step_tokens`.
            hidden: (rows, d_model), contiguous: their hidden states go into the rows from `at` on.

        Raises:
            ValueError, MemoryError, RuntimeError: as `prefill`.
        """
        ...

    def logits(self, hidden: Tensor) -> NDArray[np.float32]:
        """What the model expects after hidden states (n, d_model), n at most `max_step_tokens`: (n, vocab)."""
        ...
