"""The transformer as torch runs it, module after module: for every model and every device. Knows no sampling."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.kv_cache import KVCache
from core.quantization.layers import packed_in
from core.transformer import Transformer

MAX_PREFILL_TOKENS, MIN_PREFILL_TOKENS = 512, 128  # in one pass
_MULTIPLICATIONS = 140e9  # in one pass, about: it is to be over before anybody waits for a stop


class EagerBackend:
    """One token a step. What the other backends cannot do, they leave to this one."""

    name, max_step_tokens = "torch", 1

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        fallback_reason: str = "it was not wanted",
    ) -> None:
        """
        Args:
            fallback_reason: why no faster backend is used.
        """
        self.transformer, self.device, self.dtype = transformer, device, dtype
        self.fallback_reason = fallback_reason
        self.max_prefill_tokens = prefill_chunk(transformer)

    def warm_up(self, cache: KVCache) -> None:
        """Nothing is to be done."""

    @torch.inference_mode()
    def prefill(self, ids: Sequence[int], cache: KVCache, hidden: Tensor) -> None:
        tokens = torch.tensor([ids], device=self.device)  # (1, n)
        hidden[:] = self.transformer(tokens, cache)[0]

    def decode(self, ids: Sequence[int], cache: KVCache, hidden: Tensor, at: int = 0) -> NDArray[np.float32]:
        rows = hidden[at : at + len(ids)]
        self.prefill(ids, cache, rows)
        return self.logits(rows)

    @torch.inference_mode()
    def logits(self, hidden: Tensor) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = self.transformer.unembed(hidden.squeeze(0)).cpu().numpy()  # of one: (vocab,)
        return logits.reshape(len(hidden), -1)


def prefill_chunk(transformer: Transformer) -> int:
    """Tokens of a prompt that torch reads in one pass: fewer, the larger the model.

    The same on every machine, as numbers depend on it in the last bits; more where weights have to be dequantized.
    """
    packed = sum(matrix.rows * matrix.columns for matrix in packed_in(transformer))
    n_weights = packed // 2 + sum(parameter.numel() for parameter in transformer.parameters())
    affordable = int(_MULTIPLICATIONS / max(1, n_weights)) // MIN_PREFILL_TOKENS * MIN_PREFILL_TOKENS
    return min(MAX_PREFILL_TOKENS, max(MIN_PREFILL_TOKENS, affordable))
