"""What a decoder-only transformer is, said once.

Every model we run, today's families and the textbook GPT alike, is a value of `ModelConfig`; none has a
class of its own. What a reader of files can settle while loading (transposed or fused matrices, RMS
weights stored minus one) is settled there and has no field here. This module must not know torch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """How rotary position embedding (rope) rotates pairs of channels (Su et al. 2021, arXiv 2104.09864).

    The scalings stretch it over a longer context than it was trained on: linear every pair alike; llama3 and yarn
    (Peng et al. 2023, arXiv 2309.00071) by how often a pair goes round in the original context; longrope (Ding et al.
    2024, arXiv 2402.13753) each pair by a factor of its own, and by another once the text is longer than that.
    """

    theta: float = 10_000.0
    width: int | None = None  # channels of a head that are rotated; None means all
    scaling: Literal["none", "linear", "llama3", "yarn", "longrope"] = "none"
    factor: float = 1.0
    low_frequency_factor: float = 1.0  # pairs with fewer rotations in the original context are stretched in full
    high_frequency_factor: float = 4.0  # pairs with more are left as they are
    whole_pairs: bool = True  # yarn: both borders are moved outward to the next pair
    original_context: int = 8192
    factors: tuple[float, ...] = ()  # one per pair, which is rotated so many times as slowly; goes with none and linear
    short_factors: tuple[float, ...] = ()  # longrope: the same, for texts up to the original context
    long_factors: tuple[float, ...] = ()  # and for longer ones
    magnitude: float = 1.0  # rotated queries and keys grow by this

    def __post_init__(self) -> None:
        if self.width is not None and (self.width <= 0 or self.width % 2):
            raise ValueError(f"rope width must be an even number above 0, not {self.width}")
        factors = ("factor", "low_frequency_factor", "high_frequency_factor", "magnitude")
        for name in ("theta", "original_context", *factors):
            if not 1e-9 < getattr(self, name) < 1e15:  # beyond, the arithmetic of the scalings overflows
                raise ValueError(f"rope {name} must lie between 1e-9 and 1e15, not {getattr(self, name)}")
        if self.scaling == "yarn" and self.theta == 1.0:
            raise ValueError("rope theta 1.0 rotates every pair alike, and yarn tells them apart")
        if self.factors and self.scaling not in ("none", "linear"):
            raise ValueError(f"{self.scaling} stretches each pair in its own way, which factors would change")
        if len(self.short_factors) != len(self.long_factors):
            raise ValueError(
                f"there are {len(self.short_factors)} short factors and {len(self.long_factors)} long ones"
            )
        factors_of_pairs = self.factors + self.short_factors + self.long_factors
        if impossible := [factor for factor in factors_of_pairs if not 0 < factor < math.inf]:
            raise ValueError(f"factors of pairs must be above 0, not {impossible[0]}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The shape and the choices of one transformer. Sizes are counts; `*_scale` and `*_softcap` are factors."""

    # size
    vocab_size: int
    context_length: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_model: int
    d_head: int
    d_ff: int

    # where a token is
    positions: Literal["rope", "learned", "sinusoidal"] = "rope"
    rope: RopeConfig = RopeConfig()
    rope_local: RopeConfig | None = None  # for layers with a sliding window, if theirs is another
    nope_layers: frozenset[int] = frozenset()  # layers without rope: no position at all (NoPE, arXiv 2305.19466)
    sinusoids: Literal["in turn", "halves"] = "in turn"  # sine, cosine, sine ...; or all sines, then all cosines
    position_offset: int = 0  # number of the first position in the table of sinusoids
    embedding_scale: float = 1.0

    # norms
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    residual: Literal["pre", "post", "sandwich", "branch", "parallel", "parallel, two norms"] = "pre"  # see Block
    residual_scale: float = 1.0  # of what attention and feed-forward add

    # attention
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    qk_norm_over: Literal["head", "own head", "all heads"] = "head"  # one for every head, one per head, one across
    attention_scale: float | None = None  # None means d_head ** -0.5
    attention_softcap: float | None = None  # scores are bounded by it, cap * tanh(score / cap), as in Gemma 2
    window: int | None = None  # sliding window: a token sees so many, itself included
    windowed_layers: frozenset[int] = frozenset()  # those with it; the others see everything before a token

    # feed-forward
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    gated: bool = True  # SwiGLU (silu) or GeGLU (gelu)
    mlp_bias: bool = False

    # mixture of experts
    expert_layers: frozenset[int] = frozenset()
    n_experts: int = 1
    n_experts_used: int = 1  # per token
    d_expert: int = 1  # d_ff of one expert
    renormalised: bool = True  # the router's shares of the experts that are used sum to 1

    # unembedding
    tied_embeddings: bool = True
    head_bias: bool = False
    logit_scale: float = 1.0
    logit_softcap: float | None = None

    def __post_init__(self) -> None:
        sizes = ("vocab_size", "context_length", "n_layers", "n_heads", "n_kv_heads", "d_model", "d_head", "d_ff")
        for name in (*sizes, "n_experts", "n_experts_used", "d_expert"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"{self.n_heads} query heads cannot share {self.n_kv_heads} key heads evenly")
        if self.windowed_layers and (self.window is None or self.window < 1):
            raise ValueError(f"windowed layers need a window of at least 1 token, not {self.window}")
        for what in ("windowed", "nope", "expert"):
            layers: frozenset[int] = getattr(self, f"{what}_layers")
            if outside := [layer for layer in layers if not 0 <= layer < self.n_layers]:
                raise ValueError(f"{what}_layers has layer {max(outside)}, but there are only {self.n_layers} layers")
        if self.n_experts_used > self.n_experts:
            raise ValueError(f"a token cannot use {self.n_experts_used} of {self.n_experts} experts")
        if self.positions == "rope":
            for rope in (self.rope, self.rope_local or self.rope):
                self._check_rope(rope)
            if self.rope_local is not None and self.rope_local.scaling == "longrope":
                raise ValueError("windowed layers cannot have a longrope of their own")
        if self.positions == "sinusoidal" and (self.d_model % 2 or self.d_model < 4):
            raise ValueError(f"sines and cosines come in pairs, and d_model {self.d_model} is odd or below 4")

    def uses_long_rope(self, length: int) -> bool:
        """Whether longrope rotates a text of this many tokens by its long factors, from the first token on."""
        return self.positions == "rope" and self.rope.scaling == "longrope" and length > self.rope.original_context

    def _check_rope(self, rope: RopeConfig) -> None:
        width = rope.width or self.d_head
        if width > self.d_head:
            raise ValueError(f"rope width {rope.width} is more than the {self.d_head} channels of a head")
        if width % 2:
            raise ValueError(f"rope rotates pairs of channels, and {self.d_head} is odd")
        if rope.factors and len(rope.factors) != width // 2:
            raise ValueError(f"rope needs {width // 2} factors, one per pair, not {len(rope.factors)}")
        if rope.scaling == "longrope" and len(rope.short_factors) != width // 2:
            raise ValueError(f"longrope needs {width // 2} factors, one per pair, not {len(rope.short_factors)}")
