"""The transformer: token ids in, hidden states and logits out.

Read it from the bottom up: `Transformer.forward` is the whole road. Axes are named once, here:
batch; time (the tokens of this pass); length (every token attended to, cached ones included);
heads; d_head, d_model, d_ff and vocab as in `ModelConfig`. Knows no family, file, tokenizer or screen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.cache import KVCache
from core.config import ModelConfig, Rotary

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
}


class RMSNorm(nn.Module):
    """Divide by the root mean square, in float32 (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight.float(), self.eps).to(x.dtype)


def make_norm(config: ModelConfig, width: int | None = None) -> nn.Module:
    kind: Callable[..., nn.Module] = RMSNorm if config.norm == "rms" else nn.LayerNorm
    return kind(width or config.d_model, eps=config.norm_eps)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """(batch, time, heads * d_head) -> (batch, heads, time, d_head)"""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def rotary_frequencies(rotary: Rotary, width: int) -> Tensor:
    """Angle in radians by which each pair of channels turns per position: (width / 2,)."""
    frequency = rotary.theta ** (-torch.arange(0, width, 2, dtype=torch.float32) / width)
    if rotary.factors:
        frequency = frequency / torch.tensor(rotary.factors)
    if rotary.scaling == "linear":
        return frequency / rotary.factor
    if rotary.scaling == "llama3":
        wavelength = 2 * math.pi / frequency
        turns = rotary.original_context / wavelength
        low, high = rotary.low_frequency_factor, rotary.high_frequency_factor
        keep = ((turns - low) / (high - low)).clamp(0, 1)  # 1: as trained, 0: stretched
        return frequency * keep + frequency / rotary.factor * (1 - keep)
    return frequency


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the leading channels of x (batch, heads, time, d_head) by their position's angles (time, width / 2)."""
    half = cos.shape[-1]
    a, b, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
    turned = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    return torch.cat((turned.to(x.dtype), rest), dim=-1)


def sinusoids(length: int, width: int) -> Tensor:
    """The position table of "Attention Is All You Need", sines and cosines in turn: (length, width)."""
    angle = torch.arange(length)[:, None] * 10_000.0 ** (-torch.arange(0, width, 2) / width)
    return torch.stack((angle.sin(), angle.cos()), dim=-1).flatten(1)


class View(NamedTuple):
    """What a layer sees of one pass: how far its positions turn, how far back it looks, what came before."""

    turns: tuple[Tensor, Tensor] | None  # cos, sin, each (time, width / 2)
    mask: Tensor | None  # (time, length), True where attention is allowed; None: everything
    causal: bool  # no mask needed: each token sees itself and those before it, and nothing is cached
    cache: KVCache | None


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
        self.query_norm = make_norm(config, config.d_head) if config.qk_norm else nn.Identity()
        self.key_norm = make_norm(config, config.d_head) if config.qk_norm else nn.Identity()

    def forward(self, x: Tensor, view: View) -> Tensor:
        q = self.query_norm(split_heads(self.query(x), self.n_heads))  # (batch, heads, time, d_head)
        k = self.key_norm(split_heads(self.key(x), self.n_kv_heads))  # (batch, kv_heads, time, d_head)
        v = split_heads(self.value(x), self.n_kv_heads)  # (batch, kv_heads, time, d_head)
        if view.turns is not None:
            q, k = rotate(q, *view.turns), rotate(k, *view.turns)
        if view.cache is not None:
            k, v = view.cache.write(self.layer, k, v)  # (1, kv_heads, length, d_head)
        mixed = attend(q, k, v, view, self.scale, self.softcap)
        out: Tensor = self.output(mixed.transpose(1, 2).flatten(2))  # (batch, time, d_model)
        return out


def attend(q: Tensor, k: Tensor, v: Tensor, view: View, scale: float, softcap: float | None) -> Tensor:
    """Mix values by how well keys match queries: (batch, heads, time, d_head)."""
    batch, heads, time, d_head = q.shape
    group = heads // k.shape[1]
    if time == 1:  # one token: its query heads stand in for the time axis, so shared keys are read once
        q = q.view(batch, heads // group, group, d_head)
    elif group > 1:
        k, v = k.repeat_interleave(group, dim=1), v.repeat_interleave(group, dim=1)
    if softcap is None:
        causal = view.causal and time > 1
        mixed = F.scaled_dot_product_attention(
            q, k, v, attn_mask=None if causal else view.mask, is_causal=causal, scale=scale
        )
    else:
        scores = softcap * torch.tanh(q @ k.mT * scale / softcap)  # (batch, heads, time, length)
        if view.mask is not None:
            scores = scores.masked_fill(~view.mask, -torch.inf)
        mixed = scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v
    return mixed.reshape(batch, heads, time, d_head)


class FeedForward(nn.Module):
    """Each token on its own, through a wider layer and back."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.d_model, config.d_ff, bias=config.mlp_bias)
        self.gate = nn.Linear(config.d_model, config.d_ff, bias=config.mlp_bias) if config.gated else None
        self.down = nn.Linear(config.d_ff, config.d_model, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        wide = self.up(x)  # (batch, time, d_ff)
        wide = self.activation(wide) if self.gate is None else self.activation(self.gate(x)) * wide
        out: Tensor = self.down(wide)  # (batch, time, d_model)
        return out


class Block(nn.Module):
    """Attention, then feed-forward, each added to the residual stream.

    pre        x + f(norm(x))                            GPT-2, Llama
    post       norm(x + f(x))                            the original transformer
    sandwich   x + norm(f(norm(x)))                      a norm on either side
    parallel   x + f(norm(x)) + g(norm(x)), one norm     both at once
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        where = config.residual

        def norm_if(wanted: bool) -> nn.Module:
            return make_norm(config) if wanted else nn.Identity()

        self.parallel = where == "parallel"
        self.attention = Attention(config, layer)
        self.feed_forward = FeedForward(config)
        self.attention_norm = norm_if(where != "post")
        self.attention_out_norm = norm_if(where == "sandwich")
        self.attention_sum_norm = norm_if(where == "post")
        self.feed_forward_norm = norm_if(where in ("pre", "sandwich"))
        self.feed_forward_out_norm = norm_if(where == "sandwich")
        self.feed_forward_sum_norm = norm_if(where == "post")

    def forward(self, x: Tensor, view: View) -> Tensor:
        h: Tensor = self.attention_norm(x)
        if self.parallel:
            both: Tensor = self.attention(h, view) + self.feed_forward(h)
            return x + both
        x = self.attention_sum_norm(x + self.attention_out_norm(self.attention(h, view)))
        h = self.feed_forward_norm(x)
        out: Tensor = self.feed_forward_sum_norm(x + self.feed_forward_out_norm(self.feed_forward(h)))
        return out


class Transformer(nn.Module):
    """Embedding and positions, the blocks, the last norm; `unembed` turns what comes out into logits."""

    frequencies: Tensor
    local_frequencies: Tensor
    position_table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.d_model)
        if config.positions == "sinusoidal":
            self.register_buffer("position_table", sinusoids(config.context_length, config.d_model), persistent=False)
        width = config.rotary.width or config.d_head
        local = config.rotary_local or config.rotary
        self.register_buffer("frequencies", rotary_frequencies(config.rotary, width), persistent=False)
        self.register_buffer("local_frequencies", rotary_frequencies(local, width), persistent=False)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = nn.Identity() if config.residual == "post" else make_norm(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=config.head_bias)
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, cache: KVCache | None = None) -> Tensor:
        """Hidden states after the last norm (batch, time, d_model) for tokens (batch, time).

        With a cache (batch 1) the tokens stand after those cached, and are added to it; without one they
        begin at position 0.
        """
        start = 0 if cache is None else cache.length
        time = tokens.shape[1]
        if cache is not None:
            cache.reserve(start + time)
        positions = torch.arange(start, start + time, device=tokens.device)  # (time,)
        whole = self._view(positions, start, cache, self.frequencies, window=None)
        local = whole
        if self.config.windowed_layers:
            local = self._view(positions, start, cache, self.local_frequencies, window=self.config.window)
        x = self.embed(tokens, positions)  # (batch, time, d_model)
        for layer, block in enumerate(self.blocks):
            x = block(x, local if layer in self.config.windowed_layers else whole)
        if cache is not None:
            cache.advance(time)
        out: Tensor = self.norm(x)
        return out

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """A row of the embedding matrix per token, plus its position's row: (batch, time, d_model)."""
        x: Tensor = self.embedding(tokens)
        if self.config.embedding_scale != 1.0:
            x = x * torch.tensor(self.config.embedding_scale, dtype=x.dtype)
        if self.config.positions == "learned":
            x = x + self.position_embedding(positions)
        if self.config.positions == "sinusoidal":
            x = x + self.position_table[positions].to(x.dtype)
        return x

    def unembed(self, hidden: Tensor) -> Tensor:
        """Logits (..., vocab) in float32 for hidden states (..., d_model)."""
        logits: Tensor = self.head(hidden).float()
        cap = self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _view(
        self, positions: Tensor, start: int, cache: KVCache | None, frequencies: Tensor, window: int | None
    ) -> View:
        turns = None
        if self.config.positions == "rotary":
            angle = positions[:, None] * frequencies  # (time, width / 2)
            turns = (angle.cos(), angle.sin())
        causal = start == 0 and window is None and self.config.attention_softcap is None
        mask = None if causal else visible(start, positions, window)
        return View(turns, mask, causal, cache)


def visible(start: int, positions: Tensor, window: int | None) -> Tensor | None:
    """Which tokens each position may attend to: (time, length), True where allowed; None if to all of them."""
    length = start + len(positions)
    if len(positions) == 1 and (window is None or length <= window):
        return None
    distance = positions[:, None] - torch.arange(length, device=positions.device)  # (time, length)
    return (distance >= 0) if window is None else (distance >= 0) & (distance < window)
