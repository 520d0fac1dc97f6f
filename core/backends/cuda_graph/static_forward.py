"""One token through the transformer at fixed addresses and in fixed shapes, so that the work can be recorded.

The modules are the transformer's own; only where it is and what it can see are tensors here. Knows no CUDA.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from core.layers.attention import View, visible
from core.transformer import Transformer

MIN_BUCKET = 256  # positions that are looked at, at least


def unsupported_reason(transformer: Transformer) -> str | None:
    """Why a model's pass cannot have fixed shapes; None if it can."""
    if transformer.config.expert_layers:
        return "its experts are chosen anew for every token, and what is recorded cannot choose"
    return None


def bucket_of(length: int, limit: int) -> int:
    """How many positions are looked at for a text of this length: doubled from step to step, up to the limit."""
    bucket = MIN_BUCKET
    while bucket < length:
        bucket *= 2
    return min(bucket, limit)


class Slots(NamedTuple):
    """Keys and values by layer, each (1, kv_heads, bucket, d_head), of which one position is written."""

    position: Tensor  # (1,)
    keys: list[Tensor]
    values: list[Tensor]

    @classmethod
    def of(cls, keys: Tensor, values: Tensor, bucket: int, position: Tensor) -> Slots:
        """The first `bucket` positions of a cache's keys and values (layers, 1, kv_heads, capacity, d_head)."""
        layers = range(len(keys))
        return cls(position, [keys[n][:, :, :bucket] for n in layers], [values[n][:, :, :bucket] for n in layers])

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (1, kv_heads, 1, d_head) at the position; all keys and values, also those that are left out."""
        self.keys[layer].index_copy_(2, self.position, k)
        self.values[layer].index_copy_(2, self.position, v)
        return self.keys[layer], self.values[layer]


def forward_one(transformer: Transformer, token: Tensor, slots: Slots, long: bool, fused: bool) -> Tensor:
    """The hidden state (1, d_model) of a token (1, 1) after the last norm.

    What lies behind its position in the slots is multiplied by zero, so it must be finite.

    Args:
        long: which rope, see `ModelConfig.uses_long_rope`.
        fused: this is compiled.
    """
    length = slots.keys[0].shape[2]

    def view(window: int | None, local: bool) -> View:
        seen = View(None, visible(slots.position, length, window), False, slots, compiled=fused)
        return transformer.with_rope(seen, slots.position, long, local=local)

    windowed = bool(transformer.config.windowed_layers)
    whole = view(None, False)
    views = whole, view(transformer.config.window, True) if windowed else whole
    return transformer.read(token, slots.position, views)[0]


def unembed_one(transformer: Transformer, hidden: Tensor, fused: bool) -> Tensor:
    """Logits (1, vocab) of a hidden state (1, d_model)."""
    return transformer.unembed(hidden)
