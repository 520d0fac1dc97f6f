"""Attention: each token looks at those before it. Axes are named in core/transformer.py. Knows no layer but its own."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.config import ModelConfig
from core.kv_cache import Slab
from core.layers.norms import make_head_norm
from core.layers.rope import CosSin, apply_rope


class View(NamedTuple):
    """What a layer sees of one pass: how far its positions turn, how far back it looks, what came before."""

    turns: CosSin | None  # None: these layers are not told where a token is
    mask: Tensor | None  # (time, length), True where attention is allowed; None: everything
    causal: bool  # no mask needed: each token sees itself and those before it, and nothing is cached
    cache: Slab | None
    spelled_out: bool = False  # attention as sums of products, for a compiler that makes one loop of them


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, time, heads * d_head) -> (batch, heads, time, d_head)"""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


class Attention(nn.Module):
    """Each token asks a question (query) of every token before it (keys) and mixes in their answers (values)."""

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

    def forward(self, x: Tensor, view: View) -> Tensor:
        q, k = self.query(x), self.key(x)
        if self.norm_across_heads:
            q, k = self.query_norm(q), self.key_norm(k)
        q, k = split_heads(q, self.n_heads), split_heads(k, self.n_kv_heads)  # (batch, (kv_)heads, time, d_head)
        if not self.norm_across_heads:
            q, k = self.query_norm(q), self.key_norm(k)
        v = split_heads(self.value(x), self.n_kv_heads)  # (batch, kv_heads, time, d_head)
        if view.turns is not None:
            q, k = apply_rope(q, view.turns), apply_rope(k, view.turns)
        if view.cache is not None:
            k, v = view.cache.write(self.layer, k, v)  # (1, kv_heads, length, d_head)
        mixed = attend(q, k, v, view, self.scale, self.softcap)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (batch, time, d_model)
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, view: View, scale: float, softcap: float | None) -> Tensor:
    """Mix values by how well keys match queries: (batch, heads, time, d_head)."""
    batch, heads, time, d_head = q.shape
    group = heads // k.shape[1]
    causal = view.causal
    if time == 1:  # one token: its query heads stand in for the time axis, so shared keys are read once
        q, causal = q.view(batch, heads // group, group, d_head), False
    elif group > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    if view.spelled_out:
        mixed = attend_spelled_out(q, k, v, view.mask, scale, softcap)
    elif softcap is None:
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if causal else view.mask, is_causal=causal, scale=scale
        )
    else:
        scores = softcap * torch.tanh(q @ k.mT * scale / softcap)  # (batch, heads, time, length)
        if view.mask is not None:
            scores = scores.masked_fill(~view.mask, -torch.inf)
        mixed = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
    return mixed.reshape(batch, heads, time, d_head)


def attend_spelled_out(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, scale: float, softcap: float | None
) -> Tensor:
    """The same in float32 throughout. Uncompiled, every product would be held in memory."""
    scores = (q.float()[..., :, None, :] * k.float()[..., None, :, :]).sum(-1) * scale  # (batch, heads, time, length)
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return (scores.softmax(-1)[..., None] * v.float()[..., None, :, :]).sum(-2).to(v.dtype)


def visible(positions: Tensor, length: int, window: int | None) -> Tensor:
    """Which of `length` tokens each position may attend to: (time, length), True where allowed."""
    distance = positions[:, None] - torch.arange(length, device=positions.device)  # (time, length)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
