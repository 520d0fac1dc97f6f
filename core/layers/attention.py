"""Multi-head attention (MHA, GQA, MQA): each token looks at those before it. Must not know which cache it writes to,
or another layer.

Axes are named in core/transformer.py. Rope, sliding windows, softcap and norms of queries and keys are choices of
`ModelConfig`.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import ModelConfig
from core.layers.norms import make_head_norm
from core.layers.rope import CosSin, apply_rope
from core.layers.taps import Taps


class Slab(Protocol):
    """Where the layers put their keys and values: a KV cache, as far as attention knows it."""

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (1, kv_heads, time, d_head); return all there are to attend to: (1, kv_heads, length, d_head)."""
        ...


class View(NamedTuple):
    """What the attention of a layer may see in one pass. Layers with a sliding window have another than the rest."""

    cos_sin: CosSin | None  # rope's rotation of this pass's positions; None: no rope (NoPE, or learned positions)
    mask: Tensor | None  # (time, length), True where attention is allowed; None: see `causal`, or everything
    causal: bool  # a plain causal mask from position 0 on, with no cache before it, which kernels know without `mask`
    cache: Slab | None
    compiled: bool = False  # for a compiler: no fused kernel, but sums of products, of which it makes one loop


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, time, heads * d_head) -> (batch, heads, time, d_head)"""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


class Attention(nn.Module):
    """Each token asks a question (query) of every token before it (keys) and mixes in their answers (values).

    With fewer key heads than query heads, several query heads share one (grouped-query attention, arXiv 2305.13245).
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.n_heads, self.n_kv_heads = config.n_heads, config.n_kv_heads
        self.scale = config.attention_scale or config.d_head**-0.5
        self.softcap = config.attention_softcap
        self.query = nn.Linear(config.d_model, config.n_heads * config.d_head, bias=config.qkv_bias)
        self.key = nn.Linear(config.d_model, config.n_kv_heads * config.d_head, bias=config.qkv_bias)
        self.value = nn.Linear(config.d_model, config.n_kv_heads * config.d_head, bias=config.qkv_bias)
        self.output = nn.Linear(config.n_heads * config.d_head, config.d_model, bias=config.output_bias)
        self.norm_across_heads = config.qk_norm_over == "all heads"
        self.query_norm = make_head_norm(config, config.n_heads)
        self.key_norm = make_head_norm(config, config.n_kv_heads)

    def forward(self, x: Tensor, view: View, taps: Taps | None = None) -> Tensor:
        """What attention makes of x (batch, time, d_model): the same shape, to be added to the residual stream."""
        q, k = self.query(x), self.key(x)  # (batch, time, (kv_)heads * d_head)
        if self.norm_across_heads:
            q, k = self.query_norm(q), self.key_norm(k)
        q, k = split_heads(q, self.n_heads), split_heads(k, self.n_kv_heads)  # (batch, (kv_)heads, time, d_head)
        if not self.norm_across_heads:
            q, k = self.query_norm(q), self.key_norm(k)
        v = split_heads(self.value(x), self.n_kv_heads)  # (batch, kv_heads, time, d_head)
        if view.cos_sin is not None:
            q, k = apply_rope(q, view.cos_sin), apply_rope(k, view.cos_sin)
        if view.cache is not None:
            k, v = view.cache.write(self.layer, k, v)  # (1, kv_heads, length, d_head)
        if taps is None:
            mixed = attend(q, k, v, view, self.scale, self.softcap)  # (batch, heads, time, d_head)
        else:
            mixed = attend_tapped(q, k, v, view, self.scale, self.softcap, taps)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (batch, time, d_model)
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, view: View, scale: float, softcap: float | None) -> Tensor:
    """Mix values by how well keys match queries, the fastest way there is.

    Args:
        q: (batch, heads, time, d_head)
        k: (batch, kv_heads, length, d_head), as is v
        scale: of query times key; `softcap` bounds it (tanh), if there is one.

    Returns:
        (batch, heads, time, d_head)
    """
    batch, heads, time, d_head = q.shape
    group = heads // k.shape[1]
    causal = view.causal
    if time == 1:  # one token: its query heads stand in for the time axis, so shared keys are read once
        q, causal = q.view(batch, heads // group, group, d_head), False
    elif group > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    if view.compiled:
        mixed = attend_in_one_loop(q, k, v, view.mask, scale, softcap)
    elif softcap is None:
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if causal else view.mask, is_causal=causal, scale=scale
        )
    else:
        mixed, _, _ = attend_in_steps(q, k, v, view.mask, scale, softcap)
    return mixed.reshape(batch, heads, time, d_head)


def attend_tapped(
    q: Tensor, k: Tensor, v: Tensor, view: View, scale: float, softcap: float | None, taps: Taps
) -> Tensor:
    """`attend` with somebody looking on. Only scores and weights cost more: the fused kernel never has them."""
    taps.record("query", q)
    taps.record("key", k)
    taps.record("value", v)
    if not taps.need_steps:
        return attend(q, k, v, view, scale, softcap)
    length, group = k.shape[2], q.shape[1] // k.shape[1]
    mask = visible(torch.arange(length, device=q.device), length, None) if view.causal else view.mask
    if softcap is None:  # as the fused kernel does, which rounds no score
        q, k = q.float(), k.float()
    k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)  # (batch, heads, length, d_head)
    mixed, scores, weights = attend_in_steps(q, k, v, mask, scale, softcap)
    taps.record("scores", scores)
    taps.record("weights", weights)
    return mixed


def attend_in_steps(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, softcap: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Attention as the textbook writes it, for as many key heads as query heads: softmax(q k^T * scale) v.

    Returns:
        What is mixed (batch, heads, time, d_head), the scores and their softmax, each (batch, heads, time, length).
    """
    scores = q @ k.mT * scale  # (batch, heads, time, length)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    weights = scores.softmax(-1, dtype=torch.float32)
    return weights.to(v.dtype) @ v, scores, weights


def attend_in_one_loop(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, softcap: float | None
) -> Tensor:
    """The same in float32 throughout, for a compiler, which fuses it. Uncompiled, every product is held in memory."""
    scores = (q.float()[..., :, None, :] * k.float()[..., None, :, :]).sum(-1) * scale  # (batch, heads, time, length)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1)[..., None] * v.float()[..., None, :, :]).sum(-2).to(v.dtype)


def visible(positions: Tensor, length: int, window: int | None) -> Tensor:
    """The attention mask: which of `length` tokens each position may attend to, (time, length), True where allowed.

    Args:
        positions: (time,), of this pass's tokens.
        window: tokens a sliding window reaches over, a position's own included; None: all before it, plain causal.
    """
    distance = positions[:, None] - torch.arange(length, device=positions.device)  # (time, length)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
