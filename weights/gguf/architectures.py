"""What each of llama.cpp's architectures does unlike a plain Llama, in the fields of our `ModelConfig`.

What llama.cpp knows of one by heart, such as its activation or Gemma's scales, is known here too. With
`weights.families` the only place that names families. Knows no file and no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from core.config import ModelConfig, RopeConfig
from weights.gguf.rope import FACTORS, LONG, SHORT
from weights.untrusted.checked_json import CheckedJson


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One of them. Its file may still say or leave out what is seen from the tensors: biases, a head of its own."""

    read: Callable[[CheckedJson, ModelConfig], dict[str, Any]]  # what it does unlike a plain Llama
    norm: Literal["rms", "layer"] = "rms"
    interleaved: bool = False  # the channels of a head that are rotated together are neighbours
    fused_gate: bool = False
    rope_factors: tuple[str, ...] = ()  # tensors of factors that it reads
    has_experts: bool = False  # or may have them
    has_any_norms: bool = False  # may have some of queries and keys, and one or two in a layer
    has_scales: bool = False  # of attention, embedding, residual and logits, each a key


def _windows(keys: CheckedJson, n_layers: int, every: int, default: int | None = None) -> dict[str, Any]:
    """All layers but each last of `every` see only so far back; or the file names the layers, or another number."""
    window = default if keys.value("attention.sliding_window") is None else keys.count("attention.sliding_window")
    pattern = keys.value("attention.sliding_window_pattern")
    if isinstance(pattern, list):
        if len(pattern) < n_layers or any(type(is_windowed) is not bool for is_windowed in pattern):
            raise keys.unsupported("attention.sliding_window_pattern")
        layers = frozenset(layer for layer in range(n_layers) if pattern[layer])
    else:
        every = keys.count("attention.sliding_window_pattern", every)
        layers = frozenset(layer for layer in range(n_layers) if layer % every < every - 1)
    return {"window": window, "windowed_layers": layers} if window and layers else {}


def _plain(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return {}


def _llama(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    keys.only("rope.dimension_count", (None, plain.d_head))  # the order of the channels is that of whole heads
    return {}


def _smollm3(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    """Each fourth layer has no rope; no key says so."""
    return {"nope_layers": frozenset(range(3, plain.n_layers, 4))}


def _granite(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    keys.only("rope.scaling.finetuned", (None, True))  # false means here that no layer has a rope
    return {
        "attention_scale": keys.maybe_number("attention.scale"),
        "embedding_scale": keys.number("embedding_scale", 1.0),
        "residual_scale": keys.number("residual_scale", 1.0),
        "logit_scale": 1 / keys.number("logit_scale", 1.0),
    }


def _olmo2(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return {"residual": "branch", "qk_norm": True, "qk_norm_over": "all heads"}


def _stablelm(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    """Whether both parts of a layer work at once is seen from its norms, as llama.cpp does, and not from this key."""
    keys.value("use_parallel_residual")
    return {"qk_norm_over": "own head"}


def _gptneox(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    """With the GELU that published models say they have; llama.cpp computes its approximation for all of them."""
    parallel = keys.flag("use_parallel_residual", True)
    return {"gated": False, "activation": "gelu", "residual": "parallel, two norms" if parallel else "pre"}


def _qwen3(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return {"qk_norm": True}


def _phi3(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    """Every layer has the window that the model was trained with; llama.cpp passes over it."""
    window = keys.value("attention.sliding_window")
    if window in (None, 0):
        return {}
    return {
        "window": keys.count("attention.sliding_window"),
        "windowed_layers": frozenset(range(plain.n_layers)),
    }


def _gpt2(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return {
        "positions": "learned",
        "rope": RopeConfig(),
        "gated": False,
        "activation": "gelu_tanh",
    }


def _phi2(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return {
        "gated": False,
        "activation": "gelu_tanh",
        "residual": "parallel",
    }


def _gemma(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return {"embedding_scale": plain.d_model**0.5, "activation": "gelu_tanh"}


def _sandwich(keys: CheckedJson, plain: ModelConfig, layers_of_27b: int) -> dict[str, Any]:
    """Gemma 2 and 3. The biggest of each scales its attention by its width, which only its size tells."""
    by_width = plain.n_layers == layers_of_27b
    return _gemma(keys, plain) | {
        "residual": "sandwich",
        "attention_scale": (plain.d_model // plain.n_heads if by_width else plain.d_head) ** -0.5,
    }


def _gemma2(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    return _sandwich(keys, plain, layers_of_27b=46) | {
        "attention_softcap": keys.number("attn_logit_softcapping", 50.0),
        "logit_softcap": keys.number("final_logit_softcapping", 30.0),
        **_windows(keys, plain.n_layers, every=2, default=4096),
    }


def _gemma3(keys: CheckedJson, plain: ModelConfig) -> dict[str, Any]:
    local = RopeConfig(theta=keys.number("rope.freq_base_swa", 10_000.0), width=plain.rope.width)
    keys.count("attention.sliding_window")  # without one, llama.cpp computes yet another model
    windows = _windows(keys, plain.n_layers, every=6)
    has_cap = keys.value("final_logit_softcapping") not in (None, 0)  # Ollama's converter writes one
    cap = {"logit_softcap": keys.number("final_logit_softcapping")} if has_cap else {}
    return _sandwich(keys, plain, layers_of_27b=62) | windows | cap | {"qk_norm": True, "rope_local": local}


ARCHITECTURES = {
    "llama": Architecture(read=_llama, interleaved=True, rope_factors=(FACTORS,), has_experts=True),
    "qwen2": Architecture(read=_plain),
    "qwen3": Architecture(read=_qwen3),
    "qwen3moe": Architecture(read=_qwen3, has_experts=True),
    "smollm3": Architecture(read=_smollm3, interleaved=True),
    "granite": Architecture(read=_granite, interleaved=True, has_scales=True),
    "olmo2": Architecture(read=_olmo2),
    "stablelm": Architecture(read=_stablelm, norm="layer", has_any_norms=True),
    "gptneox": Architecture(read=_gptneox, norm="layer"),
    "gemma": Architecture(read=_gemma),
    "gemma2": Architecture(read=_gemma2),
    "gemma3": Architecture(read=_gemma3),
    "phi2": Architecture(read=_phi2, norm="layer"),
    "phi3": Architecture(read=_phi3, fused_gate=True, rope_factors=(LONG, SHORT)),
    "gpt2": Architecture(read=_gpt2, norm="layer"),
}
