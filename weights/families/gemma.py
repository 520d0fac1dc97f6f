"""The Gemmas: scaled embeddings, norm weights stored less one, later norms on either side. Knows no torch."""

from __future__ import annotations

from typing import Any

from core.config import ModelConfig
from weights.families.activations import ACTIVATIONS, OLD_ACTIVATIONS
from weights.families.llama_like import LLAMA_NAMES, SANDWICH_NAMES, read_common, read_windows
from weights.families.rope import SCALINGS, read_rope, rope_of
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson

# With an embedding for each kind of layer, transformers reads the other scalings' keys in ways of its own.
_GEMMA3_SCALINGS = {kind: SCALINGS[kind] for kind in ("default", "linear", "llama3")}


def _gemma_common(keys: CheckedJson) -> dict[str, Any]:
    keys.only("use_bidirectional_attention")
    scale = {"embedding_scale": keys.count("hidden_size") ** 0.5, "norm_eps": keys.number("rms_norm_eps")}
    return read_common(keys) | scale


def _gemma(keys: CheckedJson) -> ModelConfig:
    activation: Any = keys.choice("hidden_act", OLD_ACTIVATIONS)
    return ModelConfig(**_gemma_common(keys), rope=read_rope(keys), activation=activation)


def _gemma_sandwich(keys: CheckedJson) -> dict[str, Any]:
    return _gemma_common(keys) | {
        "residual": "sandwich",
        "activation": keys.choice("hidden_activation", ACTIVATIONS),
        "attention_scale": keys.number("query_pre_attn_scalar") ** -0.5,
        "attention_softcap": keys.maybe_number("attn_logit_softcapping"),
        "logit_softcap": keys.maybe_number("final_logit_softcapping"),
    }


def _gemma2(keys: CheckedJson) -> ModelConfig:
    windows = read_windows(keys, keys.maybe_count("sliding_window"), lambda layer: layer % 2 == 0)
    return ModelConfig(**_gemma_sandwich(keys), **windows, rope=read_rope(keys))


def _gemma3(keys: CheckedJson) -> ModelConfig:
    every = keys.count("sliding_window_pattern", 6)
    windows = read_windows(keys, keys.maybe_count("sliding_window"), lambda layer: (layer + 1) % every != 0)
    both = keys.table("rope_parameters") or CheckedJson({})
    local = both.table("sliding_attention") or CheckedJson({})
    whole = keys.table("rope_scaling") or both.table("full_attention") or CheckedJson({})
    for unknown in sorted(both.unasked()):
        raise both.unsupported(unknown)
    thetas = keys.number("rope_theta", 1_000_000.0), keys.number("rope_local_base_freq", 10_000.0)
    return ModelConfig(
        **_gemma_sandwich(keys),
        **windows,
        qk_norm=True,
        rope=rope_of(whole, keys, theta=thetas[0], scalings=_GEMMA3_SCALINGS),
        rope_local=rope_of(local, keys, theta=thetas[1], scalings=_GEMMA3_SCALINGS),
    )


_GEMMA = {"hidden_act": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "head_dim": 256, "tie_word_embeddings": True}
_SOFT = {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "sliding_window": 4096}
_GEMMA3 = _GEMMA | _SOFT | {"num_key_value_heads": 4}
_GEMMA2 = _GEMMA3 | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}

FAMILIES = {
    "gemma": Family(
        architecture="GemmaForCausalLM",
        read=_gemma,
        names=LLAMA_NAMES,
        plus_one=True,
        defaults=_GEMMA | {"num_key_value_heads": 16},
    ),
    "gemma2": Family(
        architecture="Gemma2ForCausalLM", read=_gemma2, names=SANDWICH_NAMES, plus_one=True, defaults=_GEMMA2
    ),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM", read=_gemma3, names=SANDWICH_NAMES, plus_one=True, defaults=_GEMMA3
    ),
}
