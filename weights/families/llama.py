"""The Llamas: pre-norm with RMS norms, rotary positions and a gated feed-forward, or nearly so. Knows no torch."""

from __future__ import annotations

from core.config import ModelConfig
from weights.families.activations import ACTIVATIONS
from weights.families.llama_like import (
    LLAMA_NAMES,
    SANDWICH_NAMES,
    SILU,
    read_all_windowed,
    read_common,
    read_n_layers,
    read_silu_and_rms,
    read_windows,
)
from weights.families.rope import read_rope
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson


def _llama(keys: CheckedJson) -> ModelConfig:
    return ModelConfig(**read_common(keys), **read_silu_and_rms(keys), mlp_bias=keys.flag("mlp_bias"))


def _mistral(keys: CheckedJson) -> ModelConfig:
    return ModelConfig(**read_common(keys), **read_silu_and_rms(keys), **read_all_windowed(keys))


def _smollm3(keys: CheckedJson) -> ModelConfig:
    """Some layers have no rope. Their list is 1 for those that have."""
    n_layers, every = read_n_layers(keys), keys.count("no_rope_layer_interval", 4)
    has_rope = keys.counts("no_rope_layers") or [(layer + 1) % every for layer in range(n_layers)]
    if len(has_rope) < n_layers:
        raise keys.bad("no_rope_layers", f"a list of {n_layers} numbers, one per layer")
    window = keys.maybe_count("sliding_window")
    windowed = keys.flag("use_sliding_window")
    return ModelConfig(
        **read_common(keys),
        **read_silu_and_rms(keys),
        **read_windows(keys, window, lambda layer: windowed and not has_rope[layer]),
        mlp_bias=keys.flag("mlp_bias"),
        nope_layers=frozenset(layer for layer in range(n_layers) if not has_rope[layer]),
    )


def _granite(keys: CheckedJson) -> ModelConfig:
    return ModelConfig(
        **read_common(keys),
        **read_silu_and_rms(keys),
        mlp_bias=keys.flag("mlp_bias"),
        embedding_scale=keys.number("embedding_multiplier", 1.0),
        attention_scale=keys.number("attention_multiplier", 1.0),
        residual_scale=keys.number("residual_multiplier", 1.0),
        logit_scale=1 / keys.number("logits_scaling", 1.0),
    )


def _olmo2(keys: CheckedJson) -> ModelConfig:
    return ModelConfig(
        **read_common(keys), **read_silu_and_rms(keys), residual="branch", qk_norm=True, qk_norm_over="all heads"
    )


def _stablelm(keys: CheckedJson) -> ModelConfig:
    fields = read_common(keys)
    fields |= {"qkv_bias": keys.flag("use_qkv_bias"), "output_bias": False}
    return ModelConfig(
        **fields,
        rope=read_rope(keys, fields["d_head"]),
        norm="layer",
        norm_eps=keys.number("layer_norm_eps"),
        activation=keys.choice("hidden_act", ACTIVATIONS),  # type: ignore[arg-type]
        qk_norm=keys.flag("qk_layernorm"),
        qk_norm_over="own head",
        residual="parallel" if keys.flag("use_parallel_residual") else "pre",
    )


_STABLELM_NAMES = LLAMA_NAMES | {
    "attention.query_norm": "self_attn.q_layernorm.norms.{}",
    "attention.key_norm": "self_attn.k_layernorm.norms.{}",
}
_STABLELM = {"hidden_act": "silu", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.25, "num_key_value_heads": 32}
_SMOLLM3 = {"num_key_value_heads": 4, "rope_theta": 2_000_000.0, "tie_word_embeddings": True}

FAMILIES = {
    "llama": Family(architecture="LlamaForCausalLM", read=_llama, names=LLAMA_NAMES, defaults=SILU),
    "mistral": Family(
        architecture="MistralForCausalLM",
        read=_mistral,
        names=LLAMA_NAMES,
        defaults=SILU | {"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "smollm3": Family(architecture="SmolLM3ForCausalLM", read=_smollm3, names=LLAMA_NAMES, defaults=SILU | _SMOLLM3),
    "granite": Family(architecture="GraniteForCausalLM", read=_granite, names=LLAMA_NAMES, defaults=SILU),
    "olmo2": Family(
        architecture="Olmo2ForCausalLM", read=_olmo2, names=SANDWICH_NAMES, defaults=SILU | {"rms_norm_eps": 1e-5}
    ),
    "stablelm": Family(architecture="StableLmForCausalLM", read=_stablelm, names=_STABLELM_NAMES, defaults=_STABLELM),
}
