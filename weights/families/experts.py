"""Mixtures of experts: Llamas with many feed-forwards and a router, stored one by one or all as one. Knows no torch."""

from __future__ import annotations

from core.config import ModelConfig
from weights.families.llama_like import (
    LLAMA_NAMES,
    SILU,
    read_all_windowed,
    read_common,
    read_silu_and_rms,
    read_used_window,
    read_windows,
)
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson


def _mixtral(keys: CheckedJson) -> ModelConfig:
    fields = read_common(keys)
    return ModelConfig(
        **fields,
        **read_silu_and_rms(keys),
        **read_all_windowed(keys),
        expert_layers=frozenset(range(fields["n_layers"])),
        n_experts=keys.count("num_local_experts", 8),
        n_experts_used=keys.count("num_experts_per_tok", 2),
        d_expert=fields["d_ff"],
    )


def _qwen3_moe(keys: CheckedJson) -> ModelConfig:
    fields = read_common(keys)
    keys.only("layer_types", (None,))
    n_experts = keys.count("num_experts", 128, least=0)
    n_experts = keys.count("num_local_experts", n_experts, least=0)
    every, plain = keys.count("decoder_sparse_step", 1), keys.counts("mlp_only_layers") or []
    layers = (layer for layer in range(fields["n_layers"]) if (layer + 1) % every == 0 and layer not in plain)
    return ModelConfig(
        **fields,
        **read_silu_and_rms(keys),
        **read_windows(keys, read_used_window(keys), lambda layer: True),
        qk_norm=True,
        expert_layers=frozenset(layers) if n_experts else frozenset(),
        n_experts=n_experts or 1,
        n_experts_used=keys.count("num_experts_per_tok", 8) if n_experts else 1,
        d_expert=keys.count("moe_intermediate_size", 768),
        renormalised=keys.flag("norm_topk_prob"),
    )


_ALONE = LLAMA_NAMES | {
    "feed_forward.router": "mlp.gate",
    "feed_forward.experts.{}.gate": "mlp.experts.{}.gate_proj",
    "feed_forward.experts.{}.up": "mlp.experts.{}.up_proj",
    "feed_forward.experts.{}.down": "mlp.experts.{}.down_proj",
}
_ALONE_IN_MIXTRAL = LLAMA_NAMES | {
    "feed_forward.router": "block_sparse_moe.gate",
    "feed_forward.experts.{}.gate": "block_sparse_moe.experts.{}.w1",
    "feed_forward.experts.{}.up": "block_sparse_moe.experts.{}.w3",
    "feed_forward.experts.{}.down": "block_sparse_moe.experts.{}.w2",
}
_AS_ONE = LLAMA_NAMES | {
    "feed_forward.router": "mlp.gate",
    "feed_forward.experts.{}.gate": "mlp.experts.gate_up_proj",
    "feed_forward.experts.{}.up": "mlp.experts.gate_up_proj",
    "feed_forward.experts.{}.down": "mlp.experts.down_proj",
}
_UNNAMED = frozenset({"mlp.experts.gate_up_proj", "mlp.experts.down_proj"})

FAMILIES = {
    "mixtral": Family(
        architecture="MixtralForCausalLM",
        read=_mixtral,
        names=_ALONE_IN_MIXTRAL,
        other_names=(_AS_ONE,),
        unnamed=_UNNAMED,
        defaults=SILU | {"rms_norm_eps": 1e-5, "num_key_value_heads": 8, "rope_theta": 1_000_000.0},
    ),
    "qwen3_moe": Family(
        architecture="Qwen3MoeForCausalLM",
        read=_qwen3_moe,
        names=_ALONE,
        other_names=(_AS_ONE,),
        unnamed=_UNNAMED,
        defaults=SILU | {"num_key_value_heads": 4, "sliding_window": 4096},
    ),
}
