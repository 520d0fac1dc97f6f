"""The Phis: one with both parts of a layer at once, one a Llama stored in fewer matrices. Knows no torch."""

from __future__ import annotations

from core.config import ModelConfig
from weights.families.activations import ACTIVATIONS
from weights.families.llama_like import LLAMA_NAMES, SILU, read_all_windowed, read_common, read_silu_and_rms
from weights.families.rope import SCALINGS, read_rope
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson

# The third was first published with other names for longrope, and knows nothing else.
_PHI3_SCALINGS = {"default": SCALINGS["default"]} | dict.fromkeys(("longrope", "su", "yarn"), SCALINGS["longrope"])


def _phi(keys: CheckedJson) -> ModelConfig:
    keys.only("qk_layernorm")
    fields = read_common(keys)
    fields |= {"qkv_bias": True, "output_bias": True, "mlp_bias": True, "head_bias": True}
    fields |= {"norm": "layer", "norm_eps": keys.number("layer_norm_eps"), "residual": "parallel"}
    fields |= {"gated": False, "activation": keys.choice("hidden_act", ACTIVATIONS)}
    return ModelConfig(**fields, rope=read_rope(keys, fields["d_head"]))


def _phi3(keys: CheckedJson) -> ModelConfig:
    fields = read_common(keys)
    silu_and_rms = read_silu_and_rms(keys, fields["d_head"], scalings=_PHI3_SCALINGS)
    return ModelConfig(**fields, **silu_and_rms, **read_all_windowed(keys))


_PHI_NAMES = LLAMA_NAMES | {
    "norm": "model.final_layernorm",
    "attention.output": "self_attn.dense",
    "feed_forward.up": "mlp.fc1",
    "feed_forward.down": "mlp.fc2",
}
_PHI3_NAMES = LLAMA_NAMES | {
    "attention.query": "self_attn.qkv_proj",
    "attention.key": "self_attn.qkv_proj",
    "attention.value": "self_attn.qkv_proj",
    "feed_forward.gate": "mlp.gate_up_proj",
    "feed_forward.up": "mlp.gate_up_proj",
}

FAMILIES = {
    "phi": Family(
        architecture="PhiForCausalLM",
        read=_phi,
        names=_PHI_NAMES,
        defaults={"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5},
    ),
    "phi3": Family(
        architecture="Phi3ForCausalLM",
        read=_phi3,
        names=_PHI3_NAMES,
        defaults=SILU | {"rms_norm_eps": 1e-5, "original_max_position_embeddings": 4096},
    ),
}
