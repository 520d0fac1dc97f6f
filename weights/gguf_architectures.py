"""What each of llama.cpp's architectures does unlike a plain Llama, in the fields of our `ModelConfig`.

What llama.cpp knows of one by heart, such as its activation or Gemma's scales, is known here too. With
`families.py` the only file that names families. Knows no file and no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from core.config import ModelConfig, Rotary
from weights.keys import Keys


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One of them. Its file may still say or leave out what is seen from the tensors: biases, a head of its own."""

    read: Callable[[Keys, ModelConfig], dict[str, Any]]  # what it does unlike a plain Llama
    norm: Literal["rms", "layer"] = "rms"
    interleaved: bool = False  # the channels of a head that turn together are neighbours
    fused_gate: bool = False
    has_rope_factors: bool = False


def _windows(keys: Keys, n_layers: int, every: int, default: int | None = None) -> dict[str, Any]:
    """All layers but each last of `every` see only so far back; or the file names the layers, or another number."""
    window = default if keys.value("attention.sliding_window") is None else keys.count("attention.sliding_window")
    pattern = keys.value("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        if len(pattern) < n_layers or any(type(one) is not bool for one in pattern):
            raise keys.unsupported("attention.sliding_window_pattern")
        layers = frozenset(layer for layer in range(n_layers) if pattern[layer])
    else:
        every = keys.count("attention.sliding_window_pattern", every)
        layers = frozenset(layer for layer in range(n_layers) if layer % every < every - 1)
    return {"window": window, "windowed_layers": layers} if window and layers else {}


def _plain(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    return {}


def _llama(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    keys.only("rope.dimension_count", (None, plain.d_head))  # the order of the channels is that of whole heads
    return {}


def _qwen3(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    return {"qk_norm": True}


def _phi3(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    """Every layer has the window that the model was trained with; llama.cpp passes over it."""
    window = keys.value("attention.sliding_window")
    if window in (None, 0):
        return {}
    return {
        "window": keys.count("attention.sliding_window"),
        "windowed_layers": frozenset(range(plain.n_layers)),
    }


def _gpt2(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    return {
        "positions": "learned",
        "rotary": Rotary(),
        "gated": False,
        "activation": "gelu_tanh",
    }


def _phi2(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    return {
        "gated": False,
        "activation": "gelu_tanh",
        "residual": "parallel",
    }


def _gemma(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    return {"embedding_scale": plain.d_model**0.5, "activation": "gelu_tanh"}


def _sandwich(keys: Keys, plain: ModelConfig, layers_of_27b: int) -> dict[str, Any]:
    """Gemma 2 and 3. The biggest of each scales its attention by its width, which only its size tells."""
    by_width = plain.n_layers == layers_of_27b
    return _gemma(keys, plain) | {
        "residual": "sandwich",
        "attention_scale": (plain.d_model // plain.n_heads if by_width else plain.d_head) ** -0.5,
    }


def _gemma2(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    return _sandwich(keys, plain, layers_of_27b=46) | {
        "attention_softcap": keys.number("attn_logit_softcapping", 50.0),
        "logit_softcap": keys.number("final_logit_softcapping", 30.0),
        **_windows(keys, plain.n_layers, every=2, default=4096),
    }


def _gemma3(keys: Keys, plain: ModelConfig) -> dict[str, Any]:
    local = Rotary(theta=keys.number("rope.freq_base_swa", 10_000.0), width=plain.rotary.width)
    keys.count("attention.sliding_window")  # without one, llama.cpp computes yet another model
    windows = _windows(keys, plain.n_layers, every=6)
    return _sandwich(keys, plain, layers_of_27b=62) | windows | {"qk_norm": True, "rotary_local": local}


ARCHITECTURES = {
    "llama": Architecture(read=_llama, interleaved=True, has_rope_factors=True),
    "qwen2": Architecture(read=_plain),
    "qwen3": Architecture(read=_qwen3),
    "gemma": Architecture(read=_gemma),
    "gemma2": Architecture(read=_gemma2),
    "gemma3": Architecture(read=_gemma3),
    "phi2": Architecture(read=_phi2, norm="layer"),
    "phi3": Architecture(read=_phi3, fused_gate=True),
    "gpt2": Architecture(read=_gpt2, norm="layer"),
}
