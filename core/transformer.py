"""The transformer: token ids in, hidden states and logits out.

Read it from the bottom up: `Transformer.forward` is the whole road. Axes are named once, here:
batch; time (the tokens of this pass); length (every token attended to, cached ones included);
heads; d_head, d_model, d_ff and vocab as in `ModelConfig`. Knows no family, file, tokenizer or screen.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from core.config import ModelConfig
from core.kv_cache import KVCache
from core.layers.attention import Attention, View, visible
from core.layers.feed_forward import make_feed_forward
from core.layers.norms import make_norm
from core.layers.rope import RotaryEmbedding


def sinusoids(config: ModelConfig) -> Tensor:
    """The position table of "Attention Is All You Need", or the same with the sines before the cosines and the last
    pair at the very end of the range of frequencies: (context_length, d_model)."""
    pairs = torch.arange(config.d_model // 2)
    share = pairs / (len(pairs) - 1) if config.sinusoids == "halves" else 2 * pairs / config.d_model
    positions = torch.arange(config.context_length) + config.position_offset
    angle = positions[:, None] * 10_000.0**-share  # (context_length, d_model / 2)
    return torch.stack((angle.sin(), angle.cos()), dim=1 if config.sinusoids == "halves" else 2).flatten(1)


class Block(nn.Module):
    """Attention f, then feed-forward g, each added to the residual stream.

    pre                   x + f(norm(x))
    post                  norm(x + f(x)): the original transformer
    sandwich              x + norm(f(norm(x)))
    branch                x + norm(f(x))
    parallel              x + f(norm(x)) + g(norm(x)): both at once, one norm
    parallel, two norms   the same, a norm for each
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        where = config.residual

        def norm_if(wanted: bool) -> nn.Module:
            return make_norm(config) if wanted else nn.Identity()

        self.residual, self.scale = where, config.residual_scale
        self.attention = Attention(config, layer)
        self.feed_forward = make_feed_forward(config, layer)
        self.attention_norm = norm_if(where not in ("post", "branch"))
        self.attention_out_norm = norm_if(where in ("sandwich", "branch"))
        self.attention_sum_norm = norm_if(where == "post")
        self.feed_forward_norm = norm_if(where in ("pre", "sandwich", "parallel, two norms"))
        self.feed_forward_out_norm = norm_if(where in ("sandwich", "branch"))
        self.feed_forward_sum_norm = norm_if(where == "post")

    def forward(self, x: Tensor, view: View) -> Tensor:
        h: Tensor = self.attention_norm(x)
        said: Tensor = self.attention(h, view)
        if self.residual == "parallel":
            return self.add(x, said + self.feed_forward(h))
        if self.residual == "parallel, two norms":
            return self.add(x, said + self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_sum_norm(self.add(x, self.attention_out_norm(said)))
        said = self.feed_forward(self.feed_forward_norm(x))
        out: Tensor = self.feed_forward_sum_norm(self.add(x, self.feed_forward_out_norm(said)))
        return out

    def add(self, x: Tensor, said: Tensor) -> Tensor:
        return x + said if self.scale == 1.0 else x + said * self.scale


class Transformer(nn.Module):
    """Embedding and positions, the blocks, the last norm; `unembed` turns what comes out into logits."""

    position_table: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocab_size, config.d_model)
        if config.positions == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.d_model)
        if config.positions == "sinusoidal":
            self.register_buffer("position_table", sinusoids(config), persistent=False)
        if config.positions == "rope":
            self.rope = RotaryEmbedding(config.rope, config.d_head)
            self.rope_local = RotaryEmbedding(config.rope_local or config.rope, config.d_head)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.n_layers))
        self.norm = nn.Identity() if config.residual == "post" else make_norm(config)
        self.head = nn.Linear(config.d_model, config.vocab_size, bias=config.head_bias)
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor, cache: KVCache | None = None, *, length: int = 0) -> Tensor:
        """Hidden states after the last norm (batch, time, d_model) for tokens (batch, time).

        With a cache (batch 1) the tokens stand after those cached, and are added to it; without one they
        begin at position 0.

        Args:
            length: of the whole text, if more of it follows in later passes: it may decide how all of it is turned.

        Raises:
            ValueError: they do not fit, or what is cached was turned otherwise than a text of this length is.
        """
        start = 0 if cache is None else cache.length
        time = tokens.shape[1]
        long = self.uses_long_rope(max(start + time, length))
        if cache is not None:
            cache.reserve(start + time)
            cache.turn(long)
        positions = torch.arange(start, start + time, device=tokens.device)  # (time,)
        hidden = self.read(tokens, positions, self._views(positions, cache, long))
        if cache is not None:
            cache.advance(time)
        return hidden

    def read(self, tokens: Tensor, positions: Tensor, views: tuple[View, View]) -> Tensor:
        """The same for tokens at positions (time,), of which ordinary layers and windowed ones have these views."""
        x = self.embed(tokens, positions)  # (batch, time, d_model)
        for layer, block in enumerate(self.blocks):
            view = views[layer in self.config.windowed_layers]
            x = block(x, view._replace(turns=None) if layer in self.config.nope_layers else view)
        out: Tensor = self.norm(x)
        return out

    def uses_long_rope(self, length: int) -> bool:
        """Whether a text of this many tokens is turned otherwise than a shorter one, from its first token on."""
        return self.config.positions == "rope" and self.config.rope.uses_long_rope(length)

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
        if self.config.logit_scale != 1.0:
            logits = logits * self.config.logit_scale
        cap = self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _views(self, positions: Tensor, cache: KVCache | None, long: bool) -> tuple[View, View]:
        """What ordinary layers see, and what windowed ones do."""
        start = 0 if cache is None else cache.length
        whole = self._view(positions, start, cache, window=None)
        local = self._view(positions, start, cache, self.config.window) if self.config.windowed_layers else whole
        return self.turned(whole, positions, long), self.turned(local, positions, long, local=True)

    def turned(self, view: View, positions: Tensor, long: bool, *, local: bool = False) -> View:
        """A view that also tells how far the positions turn: in windowed layers, if it is a `local` one."""
        if self.config.positions != "rope":
            return view
        return view._replace(turns=(self.rope_local if local else self.rope)(positions, long=long))

    def _view(self, positions: Tensor, start: int, cache: KVCache | None, window: int | None) -> View:
        length = start + len(positions)
        causal = start == 0 and window is None and self.config.attention_softcap is None
        sees_all = len(positions) == 1 and (window is None or length <= window)
        return View(None, None if causal or sees_all else visible(positions, length, window), causal, cache)
