"""The transformer (decoder-only, GPT-style): token ids in, hidden states and logits out.

Read it from the bottom up: `Transformer.forward` is the whole road. Axes are named once, here:
batch; time (the tokens of this pass); length (every token attended to, cached ones included);
heads; d_head, d_model, d_ff and vocab as in `ModelConfig`. Must not know a family, file, tokenizer or screen.
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
from core.layers.taps import Taps


def sinusoids(config: ModelConfig) -> Tensor:
    """The position table of "Attention Is All You Need", or the same with the sines before the cosines and the last
    pair at the very end of the range of frequencies: (context_length, d_model)."""
    pairs = torch.arange(config.d_model // 2)
    share = pairs / (len(pairs) - 1) if config.sinusoids == "halves" else 2 * pairs / config.d_model
    positions = torch.arange(config.context_length) + config.position_offset
    angle = positions[:, None] * 10_000.0**-share  # (context_length, d_model / 2)
    return torch.stack((angle.sin(), angle.cos()), dim=1 if config.sinusoids == "halves" else 2).flatten(1)


class Block(nn.Module):
    """One layer: attention f, then feed-forward g, each added to the residual stream. `ModelConfig.residual` says how:

    pre                   x + f(norm(x)): pre-norm, as in Llama
    post                  norm(x + f(x)): post-norm, the original transformer
    sandwich              x + norm(f(norm(x))): Gemma 2
    branch                x + norm(f(x)): OLMo 2
    parallel              x + f(norm(x)) + g(norm(x)): both at once, one norm
    parallel, two norms   the same, a norm for each: GPT-NeoX
    """

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        where = config.residual

        def norm_if(here: bool) -> nn.Module:
            return make_norm(config) if here else nn.Identity()

        self.residual, self.scale = where, config.residual_scale
        self.attention = Attention(config, layer)
        self.feed_forward = make_feed_forward(config, layer)
        self.attention_norm = norm_if(where not in ("post", "branch"))
        self.attention_out_norm = norm_if(where in ("sandwich", "branch"))
        self.attention_sum_norm = norm_if(where == "post")
        self.feed_forward_norm = norm_if(where in ("pre", "sandwich", "parallel, two norms"))
        self.feed_forward_out_norm = norm_if(where in ("sandwich", "branch"))
        self.feed_forward_sum_norm = norm_if(where == "post")

    def forward(self, x: Tensor, view: View, taps: Taps | None = None) -> Tensor:
        """The residual stream after the layer, (batch, time, d_model), for that before it, x (batch, time, d_model)."""
        if self.residual.startswith("parallel"):
            return self.forward_parallel(x, view, taps)
        attended = self.scaled(self.attention_out_norm(self.attention(self.attention_norm(x), view, taps)))
        x = self.attention_sum_norm(x + attended)
        if taps is not None:
            taps.record("attention_out", attended)
            taps.record("residual_mid", x)
        fed = self.scaled(self.feed_forward_out_norm(self.feed_forward(self.feed_forward_norm(x))))
        x = self.feed_forward_sum_norm(x + fed)
        if taps is not None:
            taps.record("feed_forward_out", fed)
            taps.record("residual", x)
        return x

    def forward_parallel(self, x: Tensor, view: View, taps: Taps | None) -> Tensor:
        """`forward` where attention and feed-forward read the same residual stream. Between them there is none."""
        h = self.attention_norm(x)
        attended = self.attention(h, view, taps)
        fed = self.feed_forward(h if self.residual == "parallel" else self.feed_forward_norm(x))
        x = x + self.scaled(attended + fed)
        if taps is not None:
            taps.record("attention_out", self.scaled(attended))
            taps.record("feed_forward_out", self.scaled(fed))
            taps.record("residual", x)
        return x

    def scaled(self, branch: Tensor) -> Tensor:
        return branch if self.scale == 1.0 else branch * self.scale


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

    def forward(self, tokens: Tensor, cache: KVCache | None = None, *, taps: Taps | None = None) -> Tensor:
        """Hidden states after the last norm (batch, time, d_model) for tokens (batch, time).

        With a cache (batch 1) the tokens stand after those cached, and are added to it; without one they
        begin at position 0.

        Args:
            taps: keep what goes by at the places they name.

        Raises:
            ValueError: they do not fit, or what is cached was rotated for a text of another length (see `KVCache`).
        """
        start = 0 if cache is None else cache.length
        time = tokens.shape[1]
        if cache is None:
            long = self.config.uses_long_rope(time)
        else:
            cache.begin_pass(time)
            long = cache.long
        positions = torch.arange(start, start + time, device=tokens.device)  # (time,)
        hidden = self.read(tokens, positions, self._views(positions, cache, long), taps)
        if cache is not None:
            cache.advance(time)
        return hidden

    def read(self, tokens: Tensor, positions: Tensor, views: tuple[View, View], taps: Taps | None = None) -> Tensor:
        """`forward` for a caller that says itself where the tokens are and what they see, as a CUDA graph must.

        Args:
            tokens: (batch, time)
            positions: (time,)
            views: of layers with full attention, and of those with a sliding window.

        Returns:
            (batch, time, d_model)
        """
        x = self.embed(tokens, positions)  # (batch, time, d_model)
        if taps is not None:
            taps.record("embedding", x)
        for layer, block in enumerate(self.blocks):
            view = views[layer in self.config.windowed_layers]
            x = block(x, view._replace(cos_sin=None) if layer in self.config.nope_layers else view, taps)
        out: Tensor = self.norm(x)
        if taps is not None:
            taps.record("hidden", out)
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
        if self.config.logit_scale != 1.0:
            logits = logits * self.config.logit_scale
        cap = self.config.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def with_rope(self, view: View, positions: Tensor, long: bool, *, local: bool = False) -> View:
        """The view with rope's cos and sin for positions (time,); unchanged if the model has no rope.

        Args:
            long: the text is a long one, see `ModelConfig.uses_long_rope`.
            local: of layers with a sliding window, which may have a rope of their own.
        """
        if self.config.positions != "rope":
            return view
        return view._replace(cos_sin=(self.rope_local if local else self.rope)(positions, long=long))

    def _views(self, positions: Tensor, cache: KVCache | None, long: bool) -> tuple[View, View]:
        """The views of layers with full attention and of those with a sliding window; the same if there are none."""
        start = 0 if cache is None else cache.length
        whole = self._view(positions, start, cache, window=None)
        local = self._view(positions, start, cache, self.config.window) if self.config.windowed_layers else whole
        return self.with_rope(whole, positions, long), self.with_rope(local, positions, long, local=True)

    def _view(self, positions: Tensor, start: int, cache: KVCache | None, window: int | None) -> View:
        length = start + len(positions)
        causal = start == 0 and window is None and self.config.attention_softcap is None
        sees_all = len(positions) == 1 and (window is None or length <= window)
        return View(None, None if causal or sees_all else visible(positions, length, window), causal, cache)
