"""What those built like a Llama say in its words: sizes, norms, windows, tensor names. Knows no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from weights.families.activations import ACTIVATIONS
from weights.families.rope import SCALINGS, Scaling, read_context, read_rope
from weights.untrusted.checked_json import CheckedJson

SILU = {"hidden_act": "silu", "rms_norm_eps": 1e-6}

# ours and theirs; several of ours with one of theirs lie in it one after another
LLAMA_NAMES = {
    "embedding": "model.embed_tokens",
    "norm": "model.norm",
    "head": "lm_head",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.o_proj",
    "attention.query_norm": "self_attn.q_norm",
    "attention.key_norm": "self_attn.k_norm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "feed_forward_norm": "post_attention_layernorm",
}
SANDWICH_NAMES = LLAMA_NAMES | {
    "attention_out_norm": "post_attention_layernorm",
    "feed_forward_norm": "pre_feedforward_layernorm",
    "feed_forward_out_norm": "post_feedforward_layernorm",
}


def read_n_layers(keys: CheckedJson, name: str = "num_hidden_layers") -> int:
    """So many that each can be looked at: no model has more, and a file may say anything."""
    return keys.count(name, most=10_000)


def read_common(keys: CheckedJson) -> dict[str, Any]:
    """What the descendants of Llama say in the same words."""
    heads, width = keys.count("num_attention_heads"), keys.count("hidden_size")
    bias = keys.flag("attention_bias")
    return {
        "vocab_size": keys.count("vocab_size"),
        "context_length": read_context(keys),
        "n_layers": read_n_layers(keys),
        "n_heads": heads,
        "n_kv_heads": keys.count("num_key_value_heads", heads),
        "d_model": width,
        "d_head": keys.count("head_dim", width // heads),
        "d_ff": keys.count("intermediate_size"),
        "qkv_bias": bias,
        "output_bias": bias,
        "tied_embeddings": keys.flag("tie_word_embeddings"),
    }


def read_silu_and_rms(
    keys: CheckedJson, d_head: int = 0, *, scalings: Mapping[str, Scaling] = SCALINGS
) -> dict[str, Any]:
    return {
        "rope": read_rope(keys, d_head, scalings=scalings),
        "norm_eps": keys.number("rms_norm_eps"),
        "activation": keys.choice("hidden_act", ACTIVATIONS),
    }


def read_windows(keys: CheckedJson, window: int | None, is_windowed: Callable[[int], bool]) -> dict[str, Any]:
    """Which layers look only so far back: those that `layer_types` names, else those of the family's own pattern."""
    n_layers = read_n_layers(keys)
    kinds = keys.words("layer_types")
    if kinds is None:
        layers = frozenset(filter(is_windowed, range(n_layers))) if window else frozenset()
    else:
        if len(kinds) != n_layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
            raise keys.unsupported("layer_types")
        layers = frozenset(n for n, kind in enumerate(kinds) if kind == "sliding_attention")
    return {"window": window if layers else None, "windowed_layers": layers}


def read_used_window(keys: CheckedJson) -> int | None:
    """In families that may tell of a window without using it."""
    window = keys.maybe_count("sliding_window")
    return window if keys.flag("use_sliding_window") else None


def read_all_windowed(keys: CheckedJson) -> dict[str, Any]:
    keys.only("layer_types", (None,))  # transformers passes over them in these families
    return read_windows(keys, keys.maybe_count("sliding_window"), lambda layer: True)
