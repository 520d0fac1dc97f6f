"""Named taps: places in a forward pass where an onlooker gets the tensor that goes by. Must not know who looks.

A forward pass takes `taps: Taps | None`. With None, which is the chat's own pass, a tap is one comparison per layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import Tensor

from core.config import ModelConfig

# What goes by, and its shape. Time is always the axis before the last, so one rule picks positions out of all of them.
ONCE = {
    "embedding": "the residual stream before the first layer, position rows added: (batch, time, d_model)",
    "hidden": "after the last norm, what `unembed` turns into logits: (batch, time, d_model)",
}
PER_LAYER = {
    "query": "after norm and rope, as attended with: (batch, heads, time, d_head)",
    "key": "after norm and rope, as attended to, cached ones included: (batch, kv_heads, length, d_head)",
    "value": "as mixed, cached ones included: (batch, kv_heads, length, d_head)",
    "scores": "query times key, scaled, soft-capped, -inf where masked: (batch, heads, time, length)",
    "weights": "softmax of the scores, float32, rows sum to 1: (batch, heads, time, length)",
    "attention_out": "what attention adds to the residual stream, after output norm and scale: (batch, time, d_model)",
    "residual_mid": "the residual stream after that addition, normed if post-norm: (batch, time, d_model)",
    "feed_forward_out": "what feed-forward adds to it, after output norm and scale: (batch, time, d_model)",
    "residual": "the residual stream after the layer, normed if post-norm: (batch, time, d_model)",
}
ATTENTION = frozenset({"scores", "weights"})  # the fused kernel never has them, so they need attention in steps
_OVER_LENGTH = frozenset({"key", "value"})  # one row per token attended to, not per token of the pass


def tap_names(config: ModelConfig) -> tuple[str, ...]:
    """The taps that such a model has. A parallel block has no `residual_mid`: both its parts read the same input."""
    parallel = config.residual.startswith("parallel")
    return tuple(name for name in (*ONCE, *PER_LAYER) if not (parallel and name == "residual_mid"))


class Taps:
    """Keeps what goes by the taps that were asked for, in one forward pass.

    `seen[name]` has one tensor per layer, in order; of `embedding` and `hidden` a single one. They are the pass's own
    tensors: with a cache, `key` and `value` are views of it, which later passes may overwrite.
    """

    def __init__(self, config: ModelConfig, names: Iterable[str], *, positions: Sequence[int] | None = None) -> None:
        """
        Args:
            positions: rows of the time axis to keep (copied, so the rest is freed); None for all. Keys and values stay
                whole, as every position may look at each of them.

        Raises:
            ValueError: the model has no tap of such a name.
        """
        self.names = frozenset(names)
        known = tap_names(config)
        if unknown := sorted(self.names.difference(known)):
            raise ValueError(f"this model has no tap {unknown[0]!r}; it has {', '.join(known)}")
        self.positions = None if positions is None else list(positions)
        self.seen: dict[str, list[Tensor]] = {name: [] for name in known if name in self.names}

    @property
    def need_steps(self) -> bool:
        """Whether attention has to be computed in steps, as something in the midst of it is asked for."""
        return not ATTENTION.isdisjoint(self.names)

    def record(self, name: str, value: Tensor) -> None:
        """Called by the layers, in order."""
        if name not in self.names:
            return
        if self.positions is not None and name not in _OVER_LENGTH:
            value = value[..., self.positions, :]
        self.seen[name].append(value)
