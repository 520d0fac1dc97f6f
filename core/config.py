"""What a decoder-only transformer is, said once.

Every model we run, today's families and the textbook GPT alike, is a value of `ModelConfig`; none has a
class of its own. What a reader of files can settle while loading (transposed or fused matrices, RMS
weights stored minus one) is settled there and has no field here. This module must not know torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Rotary:
    """How rotary position embedding turns pairs of channels (Su et al. 2021, arXiv 2104.09864)."""

    theta: float = 10_000.0
    width: int | None = None  # channels of a head that turn; None means all
    scaling: Literal["none", "linear", "llama3"] = "none"
    factor: float = 1.0
    low_frequency_factor: float = 1.0
    high_frequency_factor: float = 4.0
    original_context: int = 8192
    factors: tuple[float, ...] = ()  # each pair is slowed down by its own; none means 1

    def __post_init__(self) -> None:
        if self.width is not None and (self.width <= 0 or self.width % 2):
            raise ValueError(f"rotary width must be an even number above 0, not {self.width}")
        if self.theta <= 0 or self.factor <= 0:
            raise ValueError(f"rotary theta and factor must be above 0, not {self.theta} and {self.factor}")
        if (least := min(self.factors, default=1.0)) <= 0:
            raise ValueError(f"rotary factors must be above 0, not {least}")


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
    positions: Literal["rotary", "learned", "sinusoidal"] = "rotary"
    rotary: Rotary = Rotary()
    rotary_local: Rotary | None = None  # for windowed layers, if they turn differently
    embedding_scale: float = 1.0

    # normalisation
    norm: Literal["rms", "layer"] = "rms"
    norm_eps: float = 1e-5
    residual: Literal["pre", "post", "sandwich", "parallel"] = "pre"

    # attention
    qkv_bias: bool = False
    output_bias: bool = False
    qk_norm: bool = False
    attention_scale: float | None = None  # None means d_head ** -0.5
    attention_softcap: float | None = None
    window: int | None = None
    windowed_layers: frozenset[int] = frozenset()

    # feed-forward
    activation: Literal["silu", "gelu", "gelu_tanh", "relu"] = "silu"
    gated: bool = True
    mlp_bias: bool = False

    # unembedding
    tied_embeddings: bool = True
    head_bias: bool = False
    logit_softcap: float | None = None

    def __post_init__(self) -> None:
        for name in ("vocab_size", "context_length", "n_layers", "n_heads", "n_kv_heads", "d_model", "d_head", "d_ff"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.n_heads % self.n_kv_heads:
            raise ValueError(f"{self.n_heads} query heads cannot share {self.n_kv_heads} key heads evenly")
        if self.windowed_layers and (self.window is None or self.window < 1):
            raise ValueError(f"windowed layers need a window of at least 1 token, not {self.window}")
        if self.windowed_layers and max(self.windowed_layers) >= self.n_layers:
            raise ValueError(f"layer {max(self.windowed_layers)} is windowed but there are only {self.n_layers} layers")
        if self.positions == "rotary" and (self.rotary.width or self.d_head) > self.d_head:
            raise ValueError(f"rotary width {self.rotary.width} is more than the {self.d_head} channels of a head")
        if self.positions == "rotary" and (self.rotary.width or self.d_head) % 2:
            raise ValueError(f"rotary positions turn pairs of channels, and {self.d_head} is odd")
        if self.rotary.factors and len(self.rotary.factors) * 2 != (self.rotary.width or self.d_head):
            raise ValueError(f"{len(self.rotary.factors)} rotary factors do not fit {self.d_head} channels of a head")
        if self.positions == "sinusoidal" and self.d_model % 2:
            raise ValueError(f"sines and cosines come in pairs, and d_model {self.d_model} is odd")
