"""What each family of models calls things: its config keys, its tensor names, its quirks.

A family is a value: a function from its config.json to our `ModelConfig`, and a table from our names to its tensors.
What it does to its tensors before storing them (fused, transposed, less one) is undone while reading, so the
transformer need not know. Whatever would change the result and is not understood is refused: never load and be
wrong. The only file that names families. Knows no file and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from core.config import ModelConfig, Rotary
from core.errors import BadCheckpoint, UnsupportedModel
from weights.family import Family
from weights.keys import Keys, show
from weights.own_format import read_own

# --- config keys ------------------------------------------------------------------------------------------------------

_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
}
_OLD_ACTIVATIONS = _ACTIVATIONS | {"gelu": "gelu_tanh"}  # GPT and the first Gemma say gelu and mean the approximation

# kind -> ours, and its keys with our names for them
_ROPES: dict[str, tuple[Literal["none", "linear", "llama3"], dict[str, str]]] = {
    "default": ("none", {}),
    "linear": ("linear", {"factor": "factor"}),
    "llama3": (
        "llama3",
        {
            "factor": "factor",
            "low_freq_factor": "low_frequency_factor",
            "high_freq_factor": "high_frequency_factor",
            "original_max_position_embeddings": "original_context",
        },
    ),
}

# Keys by which some family changes its arithmetic. In a family that does not read them they would go unnoticed.
_TELLING = frozenset(
    (
        *("alibi", "attention_chunk_size", "attention_multiplier", "attn_logit_softcapping", "clip_qkv"),
        *("embedding_multiplier", "final_logit_softcapping", "kv_lora_rank", "layer_types", "logit_scale"),
        *("logits_scaling", "n_routed_experts", "no_rope_layers", "num_experts", "num_local_experts"),
        *("partial_rotary_factor", "qk_layernorm", "quantization_config", "query_pre_attn_scalar"),
        *("residual_multiplier", "sliding_window", "use_bidirectional_attention", "use_qk_norm"),
    )
)


def _common(keys: Keys) -> dict[str, Any]:
    """What the descendants of Llama say in the same words."""
    heads, width = keys.count("num_attention_heads"), keys.count("hidden_size")
    bias = keys.flag("attention_bias")
    return {
        "vocab_size": keys.count("vocab_size"),
        "context_length": keys.count("max_position_embeddings"),
        "n_layers": keys.count("num_hidden_layers"),
        "n_heads": heads,
        "n_kv_heads": keys.count("num_key_value_heads", heads),
        "d_model": width,
        "d_head": keys.count("head_dim", width // heads),
        "d_ff": keys.count("intermediate_size"),
        "qkv_bias": bias,
        "output_bias": bias,
        "tied_embeddings": keys.flag("tie_word_embeddings"),
    }


def _silu_and_rms(keys: Keys, d_head: int = 0) -> dict[str, Any]:
    return {
        "rotary": _rotary(keys, d_head),
        "norm_eps": keys.number("rms_norm_eps"),
        "activation": keys.choice("hidden_act", _ACTIVATIONS),
    }


def _rotary(keys: Keys, d_head: int = 0) -> Rotary:
    """The rotary embedding in the old spelling (`rope_theta`, `rope_scaling`) or the new (`rope_parameters`).

    Args:
        d_head: channels of a head, in a family that can turn only a part of them.
    """
    rope = keys.table("rope_scaling") or keys.table("rope_parameters") or Keys({})
    part = 1.0
    if d_head:
        part = rope.number("partial_rotary_factor", keys.number("partial_rotary_factor", part))
    width = None if part == 1.0 else int(d_head * part)
    return _rotary_of(rope, keys, theta=keys.number("rope_theta", 10_000.0), width=width)


def _rotary_of(rope: Keys, keys: Keys, *, theta: float, width: int | None = None) -> Rotary:
    kind = "type" if rope.value("rope_type") is None else "rope_type"
    scaling, names = rope.choice(kind, _ROPES, "default")
    rope.value("type")
    found: dict[str, Any] = {"theta": rope.number("rope_theta", theta), "width": width}
    for theirs, ours in names.items():
        # Where it is not said how long the context was in training, transformers takes that of the config.
        default = keys.count("max_position_embeddings") if ours == "original_context" else None
        found[ours] = rope.number(theirs, default)
    for unknown in sorted(rope.unasked() - {"original_max_position_embeddings"}):
        if unknown != "partial_rotary_factor" or rope.value(unknown) != 1:
            raise rope.unsupported(unknown)
    return Rotary(scaling=scaling, **found)


def _windows(keys: Keys, window: int | None, is_windowed: Callable[[int], bool]) -> dict[str, Any]:
    """Which layers look only so far back: those that `layer_types` names, else those of the family's own pattern."""
    n_layers = keys.count("num_hidden_layers")
    kinds = keys.words("layer_types")
    if kinds is None:
        layers = frozenset(filter(is_windowed, range(n_layers))) if window else frozenset()
    else:
        if len(kinds) != n_layers or not set(kinds) <= {"sliding_attention", "full_attention"}:
            raise keys.unsupported("layer_types")
        layers = frozenset(n for n, kind in enumerate(kinds) if kind == "sliding_attention")
    return {"window": window if layers else None, "windowed_layers": layers}


def _all_windowed(keys: Keys) -> dict[str, Any]:
    keys.only("layer_types", (None,))  # transformers passes over them in these families
    return _windows(keys, keys.maybe_count("sliding_window"), lambda layer: True)


def _llama(keys: Keys) -> ModelConfig:
    return ModelConfig(**_common(keys), **_silu_and_rms(keys), mlp_bias=keys.flag("mlp_bias"))


def _mistral(keys: Keys) -> ModelConfig:
    return ModelConfig(**_common(keys), **_silu_and_rms(keys), **_all_windowed(keys))


def _qwen(keys: Keys) -> dict[str, Any]:
    window = keys.maybe_count("sliding_window")
    window = window if keys.flag("use_sliding_window") else None
    first = keys.count("max_window_layers", least=0)
    return _common(keys) | _silu_and_rms(keys) | _windows(keys, window, lambda layer: layer >= first)


def _qwen2(keys: Keys) -> ModelConfig:
    fields = _qwen(keys)
    fields |= {"qkv_bias": True, "output_bias": False}
    return ModelConfig(**fields)


def _qwen3(keys: Keys) -> ModelConfig:
    return ModelConfig(**_qwen(keys), qk_norm=True)


def _phi3(keys: Keys) -> ModelConfig:
    fields = _common(keys)
    return ModelConfig(**fields, **_silu_and_rms(keys, fields["d_head"]), **_all_windowed(keys))


def _phi(keys: Keys) -> ModelConfig:
    keys.only("qk_layernorm")
    fields = _common(keys)
    fields |= {"qkv_bias": True, "output_bias": True, "mlp_bias": True, "head_bias": True}
    fields |= {"norm": "layer", "norm_eps": keys.number("layer_norm_eps"), "residual": "parallel"}
    fields |= {"gated": False, "activation": keys.choice("hidden_act", _ACTIVATIONS)}
    return ModelConfig(**fields, rotary=_rotary(keys, fields["d_head"]))


def _gemma_common(keys: Keys) -> dict[str, Any]:
    keys.only("use_bidirectional_attention")
    scale = {"embedding_scale": keys.count("hidden_size") ** 0.5, "norm_eps": keys.number("rms_norm_eps")}
    return _common(keys) | scale


def _gemma(keys: Keys) -> ModelConfig:
    activation: Any = keys.choice("hidden_act", _OLD_ACTIVATIONS)
    return ModelConfig(**_gemma_common(keys), rotary=_rotary(keys), activation=activation)


def _gemma_sandwich(keys: Keys) -> dict[str, Any]:
    return _gemma_common(keys) | {
        "residual": "sandwich",
        "activation": keys.choice("hidden_activation", _ACTIVATIONS),
        "attention_scale": keys.number("query_pre_attn_scalar") ** -0.5,
        "attention_softcap": keys.maybe_number("attn_logit_softcapping"),
        "logit_softcap": keys.maybe_number("final_logit_softcapping"),
    }


def _gemma2(keys: Keys) -> ModelConfig:
    windows = _windows(keys, keys.maybe_count("sliding_window"), lambda layer: layer % 2 == 0)
    return ModelConfig(**_gemma_sandwich(keys), **windows, rotary=_rotary(keys))


def _gemma3(keys: Keys) -> ModelConfig:
    every = keys.count("sliding_window_pattern", 6)
    windows = _windows(keys, keys.maybe_count("sliding_window"), lambda layer: (layer + 1) % every != 0)
    both = keys.table("rope_parameters") or Keys({})
    local = both.table("sliding_attention") or Keys({})
    whole = keys.table("rope_scaling") or both.table("full_attention") or Keys({})
    for unknown in sorted(both.unasked()):
        raise both.unsupported(unknown)
    return ModelConfig(
        **_gemma_sandwich(keys),
        **windows,
        qk_norm=True,
        rotary=_rotary_of(whole, keys, theta=keys.number("rope_theta", 1_000_000.0)),
        rotary_local=_rotary_of(local, keys, theta=keys.number("rope_local_base_freq", 10_000.0)),
    )


def _gpt(keys: Keys, activation: Any) -> dict[str, Any]:
    heads, width = keys.count("n_head"), keys.count("n_embd")
    return {
        "vocab_size": keys.count("vocab_size"),
        "context_length": keys.count("n_positions"),
        "n_layers": keys.count("n_layer"),
        "n_heads": heads,
        "n_kv_heads": heads,
        "d_model": width,
        "d_head": width // heads,
        "d_ff": keys.count("n_inner", 4 * width),
        "positions": "learned",
        "norm": "layer",
        "norm_eps": keys.number("layer_norm_epsilon"),
        "qkv_bias": True,
        "output_bias": True,
        "mlp_bias": True,
        "gated": False,
        "activation": activation,
        "tied_embeddings": keys.flag("tie_word_embeddings"),
    }


def _gpt2(keys: Keys) -> ModelConfig:
    for name in ("scale_attn_by_inverse_layer_idx", "add_cross_attention"):
        keys.only(name)
    scale = None if keys.flag("scale_attn_weights", True) else 1.0
    return ModelConfig(**_gpt(keys, keys.choice("activation_function", _ACTIVATIONS)), attention_scale=scale)


def _gpt1(keys: Keys) -> ModelConfig:
    return ModelConfig(**_gpt(keys, keys.choice("afn", _OLD_ACTIVATIONS)), residual="post")


# --- tensor names: ours and theirs. Several of ours with one of theirs lie in it one after another --------------------

_LLAMA = {
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
_SANDWICH = _LLAMA | {
    "attention_out_norm": "post_attention_layernorm",
    "feed_forward_norm": "pre_feedforward_layernorm",
    "feed_forward_out_norm": "post_feedforward_layernorm",
}
_PHI = _LLAMA | {
    "norm": "model.final_layernorm",
    "attention.output": "self_attn.dense",
    "feed_forward.up": "mlp.fc1",
    "feed_forward.down": "mlp.fc2",
}
_PHI3 = _LLAMA | {
    "attention.query": "self_attn.qkv_proj",
    "attention.key": "self_attn.qkv_proj",
    "attention.value": "self_attn.qkv_proj",
    "feed_forward.gate": "mlp.gate_up_proj",
    "feed_forward.up": "mlp.gate_up_proj",
}
_GPT2 = {
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
_GPT1 = _GPT2 | {
    "embedding": "transformer.tokens_embed",
    "position_embedding": "transformer.positions_embed",
    "attention_sum_norm": "ln_1",
    "feed_forward_sum_norm": "ln_2",
}
_MASKS = (".attn.bias", ".attn.masked_bias")
_CONV1D = frozenset({"attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"})

# --- the families -----------------------------------------------------------------------------------------------------

_SILU = {"hidden_act": "silu", "rms_norm_eps": 1e-6}
_QWEN = _SILU | {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}
_GEMMA = {"hidden_act": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "head_dim": 256, "tie_word_embeddings": True}
_SOFT = {"hidden_activation": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "sliding_window": 4096}
_GEMMA3 = _GEMMA | _SOFT | {"num_key_value_heads": 4}
_GEMMA2 = _GEMMA3 | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0}
_GPT = {"layer_norm_epsilon": 1e-5, "tie_word_embeddings": True}

FAMILIES = {
    "llama": Family(architecture="LlamaForCausalLM", read=_llama, names=_LLAMA, defaults=_SILU),
    "mistral": Family(
        architecture="MistralForCausalLM",
        read=_mistral,
        names=_LLAMA,
        defaults=_SILU | {"num_key_value_heads": 8, "sliding_window": 4096},
    ),
    "qwen2": Family(architecture="Qwen2ForCausalLM", read=_qwen2, names=_LLAMA, defaults=_QWEN),
    "qwen3": Family(architecture="Qwen3ForCausalLM", read=_qwen3, names=_LLAMA, defaults=_QWEN | {"head_dim": 128}),
    "gemma": Family(
        architecture="GemmaForCausalLM",
        read=_gemma,
        names=_LLAMA,
        plus_one=True,
        defaults=_GEMMA | {"num_key_value_heads": 16},
    ),
    "gemma2": Family(architecture="Gemma2ForCausalLM", read=_gemma2, names=_SANDWICH, plus_one=True, defaults=_GEMMA2),
    "gemma3_text": Family(
        architecture="Gemma3ForCausalLM", read=_gemma3, names=_SANDWICH, plus_one=True, defaults=_GEMMA3
    ),
    "phi": Family(
        architecture="PhiForCausalLM",
        read=_phi,
        names=_PHI,
        defaults={"hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "partial_rotary_factor": 0.5},
    ),
    "phi3": Family(architecture="Phi3ForCausalLM", read=_phi3, names=_PHI3, defaults=_SILU | {"rms_norm_eps": 1e-5}),
    "gpt2": Family(
        architecture="GPT2LMHeadModel",
        read=_gpt2,
        names=_GPT2,
        prefix="transformer.",
        layer="transformer.h.{}.",
        transposed=_CONV1D,
        ballast=_MASKS,
        defaults=_GPT | {"activation_function": "gelu_new"},
    ),
    "openai-gpt": Family(
        architecture="OpenAIGPTLMHeadModel",
        read=_gpt1,
        names=_GPT1,
        prefix="transformer.",
        layer="transformer.h.{}.",
        transposed=_CONV1D,
        ballast=_MASKS,
        defaults=_GPT | {"afn": "gelu"},
    ),
    "logitscope": Family(architecture="Transformer", read=read_own, prefix="", layer="blocks.{}."),
}


def read_config(config: Mapping[str, object]) -> tuple[Family, ModelConfig]:
    """The family that a config.json is of, and the transformer it describes.

    Raises:
        UnsupportedModel: another family, or a setting that would change the result and is not understood.
        BadCheckpoint: a key is missing, of the wrong kind, or contradicts another.
    """
    keys = Keys(config)
    kind = keys.word("model_type")
    if kind not in FAMILIES:
        raise UnsupportedModel(f"Models of type {show(kind)} cannot be run here.", f"Known: {', '.join(FAMILIES)}.")
    family = FAMILIES[kind]
    built_as = keys.words("architectures")
    if built_as and family.architecture.lower() not in [name.lower() for name in built_as]:
        raise keys.unsupported("architectures")
    keys = keys.defaulting(family.defaults)
    try:
        found = family.read(keys)
    except ValueError as error:
        raise BadCheckpoint(f"config.json contradicts itself: {error}.", "Copy or download it again.") from error
    for name in sorted(_TELLING & keys.unasked()):
        if not _is_neutral(keys.value(name)):
            raise keys.unsupported(name)
    return family, found


def _is_neutral(value: object) -> bool:
    return value is not True and value in (None, False, 0, 1, [], {})
