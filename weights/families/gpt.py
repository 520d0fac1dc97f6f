"""The GPTs and those built like them: layer norms, biases, a feed-forward without a gate. Knows no torch."""

from __future__ import annotations

from typing import Any

from core.config import ModelConfig
from weights.families.activations import ACTIVATIONS, OLD_ACTIVATIONS
from weights.families.llama_like import read_n_layers
from weights.families.rope import read_context, read_rope
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson

_EPS = 1e-5  # torch's own, in families that do not say


def _plain(keys: CheckedJson, *, heads: str, width: str, layers: str) -> dict[str, Any]:
    """What all of them have in common, given what this one calls its sizes."""
    n_heads, d_model = keys.count(heads), keys.count(width)
    return {
        "vocab_size": keys.count("vocab_size"),
        "n_layers": read_n_layers(keys, layers),
        "n_heads": n_heads,
        "n_kv_heads": n_heads,
        "d_model": d_model,
        "d_head": d_model // n_heads,
        "norm": "layer",
        "qkv_bias": True,
        "output_bias": True,
        "mlp_bias": True,
        "gated": False,
        "tied_embeddings": keys.flag("tie_word_embeddings"),
    }


def _gpt(keys: CheckedJson, activation: str) -> dict[str, Any]:
    fields = _plain(keys, heads="n_head", width="n_embd", layers="n_layer")
    return fields | {
        "context_length": keys.count("n_positions"),
        "d_ff": keys.count("n_inner", 4 * fields["d_model"]),
        "positions": "learned",
        "norm_eps": keys.number("layer_norm_epsilon"),
        "activation": activation,
    }


def _gpt2(keys: CheckedJson) -> ModelConfig:
    for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        keys.only(name)
    scale = None if keys.flag("scale_attn_weights", True) else 1.0
    return ModelConfig(**_gpt(keys, keys.choice("activation_function", ACTIVATIONS)), attention_scale=scale)


def _gpt1(keys: CheckedJson) -> ModelConfig:
    return ModelConfig(**_gpt(keys, keys.choice("afn", OLD_ACTIVATIONS)), residual="post")


def _gpt_neox(keys: CheckedJson) -> ModelConfig:
    fields = _plain(keys, heads="num_attention_heads", width="hidden_size", layers="num_hidden_layers")
    bias = keys.flag("attention_bias", True)
    fields |= {"qkv_bias": bias, "output_bias": bias}
    return ModelConfig(
        **fields,
        context_length=read_context(keys),
        d_ff=keys.count("intermediate_size"),
        rope=read_rope(keys, fields["d_head"], theta="rotary_emb_base", part="rotary_pct"),
        norm_eps=keys.number("layer_norm_eps"),
        activation=keys.choice("hidden_act", ACTIVATIONS),  # type: ignore[arg-type]
        residual="parallel, two norms" if keys.flag("use_parallel_residual", True) else "pre",
    )


def _opt(keys: CheckedJson) -> ModelConfig:
    fields = _plain(keys, heads="num_attention_heads", width="hidden_size", layers="num_hidden_layers")
    keys.only("word_embed_proj_dim", (None, fields["d_model"]))
    keys.only("_remove_final_layer_norm")
    keys.only("layer_norm_elementwise_affine", (None, True))
    fields |= dict.fromkeys(("qkv_bias", "output_bias", "mlp_bias"), keys.flag("enable_bias", True))
    return ModelConfig(
        **fields,
        context_length=keys.count("max_position_embeddings"),
        d_ff=keys.count("ffn_dim"),
        positions="learned",
        norm_eps=_EPS,
        activation=keys.choice("activation_function", ACTIVATIONS),  # type: ignore[arg-type]
        residual="pre" if keys.flag("do_layer_norm_before", True) else "post",
    )


def _xglm(keys: CheckedJson) -> ModelConfig:
    fields = _plain(keys, heads="attention_heads", width="d_model", layers="num_layers")
    keys.only("add_cross_attention")
    keys.only("pad_token_id", (None, 0, 1))  # the row of any other stands for a position, and would be blank
    return ModelConfig(
        **fields,
        context_length=keys.count("max_position_embeddings"),
        d_ff=keys.count("ffn_dim"),
        positions="sinusoidal",
        sinusoids="halves",
        position_offset=2,
        embedding_scale=fields["d_model"] ** 0.5 if keys.flag("scale_embedding", True) else 1.0,
        norm_eps=_EPS,
        activation=keys.choice("activation_function", ACTIVATIONS),  # type: ignore[arg-type]
    )


_GPT2_NAMES = {
    "embedding": "transformer.wte",
    "position_embedding": "transformer.wpe",
    "norm": "transformer.ln_f",
    "head": "lm_head",
    "attention.query": "attn.c_attn",
    "attention.key": "attn.c_attn",
    "attention.value": "attn.c_attn",
    "attention.output": "attn.c_proj",
    "feed_forward.up": "mlp.c_fc",
    "feed_forward.down": "mlp.c_proj",
    "attention_norm": "ln_1",
    "feed_forward_norm": "ln_2",
}
_GPT1_NAMES = _GPT2_NAMES | {
    "embedding": "transformer.tokens_embed",
    "position_embedding": "transformer.positions_embed",
    "attention_sum_norm": "ln_1",
    "feed_forward_sum_norm": "ln_2",
}
_NEOX_NAMES = {
    "embedding": "gpt_neox.embed_in",
    "norm": "gpt_neox.final_layer_norm",
    "head": "embed_out",
    "attention.query": "attention.query_key_value",
    "attention.key": "attention.query_key_value",
    "attention.value": "attention.query_key_value",
    "attention.output": "attention.dense",
    "feed_forward.up": "mlp.dense_h_to_4h",
    "feed_forward.down": "mlp.dense_4h_to_h",
    "attention_norm": "input_layernorm",
    "feed_forward_norm": "post_attention_layernorm",
}
_XGLM_NAMES = {
    "embedding": "model.embed_tokens",
    "norm": "model.layer_norm",
    "head": "lm_head",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.output": "self_attn.out_proj",
    "feed_forward.up": "fc1",
    "feed_forward.down": "fc2",
    "attention_norm": "self_attn_layer_norm",
    "feed_forward_norm": "final_layer_norm",
}
_OPT_NAMES = _XGLM_NAMES | {
    "embedding": "model.decoder.embed_tokens",
    "position_embedding": "model.decoder.embed_positions",
    "norm": "model.decoder.final_layer_norm",
    "attention_sum_norm": "self_attn_layer_norm",
    "feed_forward_sum_norm": "final_layer_norm",
}
_AS_STORED: dict[str, Any] = {
    "prefix": "transformer.",
    "layer": "transformer.h.{}.",
    "transposed": frozenset({"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"}),
    "ignored_suffixes": (".attn.bias", ".attn.masked_bias"),
}
_GPT = {"layer_norm_epsilon": 1e-5, "tie_word_embeddings": True}
_NEOX = {"hidden_act": "gelu", "layer_norm_eps": 1e-5, "rotary_pct": 0.25}

FAMILIES = {
    "gpt2": Family(
        architecture="GPT2LMHeadModel",
        read=_gpt2,
        names=_GPT2_NAMES,
        **_AS_STORED,
        defaults=_GPT | {"activation_function": "gelu_new"},
    ),
    "openai-gpt": Family(
        architecture="OpenAIGPTLMHeadModel",
        read=_gpt1,
        names=_GPT1_NAMES,
        **_AS_STORED,
        defaults=_GPT | {"afn": "gelu"},
    ),
    "gpt_neox": Family(
        architecture="GPTNeoXForCausalLM",
        read=_gpt_neox,
        names=_NEOX_NAMES,
        other_names=(_NEOX_NAMES | {"head": "lm_head"},),
        prefix="gpt_neox.",
        layer="gpt_neox.layers.{}.",
        by_head=frozenset({"attention.query_key_value"}),
        ignored_suffixes=(".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"),
        defaults=_NEOX,
    ),
    "opt": Family(
        architecture="OPTForCausalLM",
        read=_opt,
        names=_OPT_NAMES,
        layer="model.decoder.layers.{}.",
        unused_rows={"position_embedding": 2},
        defaults={"activation_function": "relu", "tie_word_embeddings": True},
    ),
    "xglm": Family(
        architecture="XGLMForCausalLM",
        read=_xglm,
        names=_XGLM_NAMES,
        ignored_suffixes=("embed_positions.weights",),
        defaults={"activation_function": "gelu", "tie_word_embeddings": True, "pad_token_id": 1},
    ),
}
