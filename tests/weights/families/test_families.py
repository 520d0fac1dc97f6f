"""What a config.json means is what transformers takes it to mean; what is not understood is refused."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from copy import deepcopy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig
from transformers.activations import ACT2FN
from transformers.models.openai.modeling_openai import ACT_FNS

from core.errors import BadCheckpoint, LogitscopeError, UnsupportedModel
from core.layers.feed_forward import ACTIVATIONS
from tests.weights.support import tiny
from weights.families import FAMILIES, read_config
from weights.untrusted.checked_json import CheckedJson

KINDS = [kind for kind in FAMILIES if kind != "logitscope"]


def config_of(case: str, **changes: Any) -> dict[str, Any]:
    """The config.json transformers writes for a case, with changes; a change to None removes the key."""
    kind, options = tiny.CASES[case]
    values: dict[str, Any] = AutoConfig.for_model(kind, **deepcopy(options)).to_dict() | changes
    return {name: value for name, value in values.items() if name not in changes or changes[name] is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_left_out_means_what_transformers_takes_it_to_mean(kind: str) -> None:
    heads = {"hidden_size": 512, "num_attention_heads": 32}  # so many that every default number of key heads divides it
    named_otherwise = {"opt": tiny.OPT_SIZES | heads, "xglm": tiny.XGLM_SIZES}
    named_otherwise |= {"gpt2": tiny.GPT_SIZES, "openai-gpt": tiny.GPT_SIZES}
    sizes = named_otherwise.get(kind, tiny.SIZES | heads)
    shortest = {"model_type": kind} | sizes
    _, want = read_config(AutoConfig.for_model(kind, **sizes).to_dict())
    assert read_config(shortest)[1] == want


# The config.json of checkpoints many people have: old spellings, keys left out, keys without meaning.
PUBLISHED: dict[str, dict[str, Any]] = {
    "Qwen2.5-0.5B-Instruct": {
        "architectures": ["Qwen2ForCausalLM"],
        "attention_dropout": 0.0,
        "bos_token_id": 151643,
        "eos_token_id": 151645,
        "hidden_act": "silu",
        "hidden_size": 896,
        "initializer_range": 0.02,
        "intermediate_size": 4864,
        "max_position_embeddings": 32768,
        "max_window_layers": 21,
        "model_type": "qwen2",
        "num_attention_heads": 14,
        "num_hidden_layers": 24,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0,
        "sliding_window": 32768,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "transformers_version": "4.43.1",
        "use_cache": True,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
    "a qwen2 with windows in its upper layers": tiny.SIZES
    | {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}
    | {"num_key_value_heads": 2},
    "Llama-3.2-1B-Instruct": {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": 128000,
        "eos_token_id": [128001, 128008, 128009],
        "head_dim": 64,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "initializer_range": 0.02,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": 32,
        "num_hidden_layers": 16,
        "num_key_value_heads": 8,
        "pretraining_tp": 1,
        "rms_norm_eps": 1e-05,
        "rope_scaling": {
            "factor": 32.0,
            "high_freq_factor": 4.0,
            "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192,
            "rope_type": "llama3",
        },
        "rope_theta": 500000.0,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": 128256,
    },
    "SmolLM2-135M-Instruct": {
        "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "hidden_act": "silu",
        "hidden_size": 576,
        "intermediate_size": 1536,
        "is_llama_config": True,
        "max_position_embeddings": 8192,
        "model_type": "llama",
        "num_attention_heads": 9,
        "num_hidden_layers": 30,
        "num_key_value_heads": 3,
        "pad_token_id": 2,
        "rms_norm_eps": 1e-05,
        "rope_interleaved": False,
        "rope_scaling": None,
        "rope_theta": 100000,
        "tie_word_embeddings": True,
        "transformers.js_config": {"kv_cache_dtype": {"q4f16": "float16"}},
        "vocab_size": 49152,
    },
    "Mistral-7B-v0.1": {
        "architectures": ["MistralForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "model_type": "mistral",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "tie_word_embeddings": False,
        "vocab_size": 32000,
    },
    "gemma-2b-it": {
        "architectures": ["GemmaForCausalLM"],
        "attention_bias": False,
        "head_dim": 256,
        "hidden_act": "gelu",
        "hidden_activation": None,
        "hidden_size": 2048,
        "intermediate_size": 16384,
        "max_position_embeddings": 8192,
        "model_type": "gemma",
        "num_attention_heads": 8,
        "num_hidden_layers": 18,
        "num_key_value_heads": 1,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "vocab_size": 256000,
    },
    "gemma-2-2b-it": {
        "architectures": ["Gemma2ForCausalLM"],
        "attention_bias": False,
        "attn_logit_softcapping": 50.0,
        "cache_implementation": "hybrid",
        "final_logit_softcapping": 30.0,
        "head_dim": 256,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "max_position_embeddings": 8192,
        "model_type": "gemma2",
        "num_attention_heads": 8,
        "num_hidden_layers": 26,
        "num_key_value_heads": 4,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "vocab_size": 256000,
    },
    "gemma-3-1b-it": {
        "architectures": ["Gemma3ForCausalLM"],
        "attn_logit_softcapping": None,
        "cache_implementation": "hybrid",
        "final_logit_softcapping": None,
        "head_dim": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 1152,
        "intermediate_size": 6912,
        "max_position_embeddings": 32768,
        "model_type": "gemma3_text",
        "num_attention_heads": 4,
        "num_hidden_layers": 26,
        "num_key_value_heads": 1,
        "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06,
        "rope_local_base_freq": 10000,
        "rope_scaling": None,
        "rope_theta": 1000000,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "vocab_size": 262144,
    },
    "phi-2": {
        "architectures": ["PhiForCausalLM"],
        "embd_pdrop": 0.0,
        "hidden_act": "gelu_new",
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "model_type": "phi",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.4,
        "qk_layernorm": False,
        "resid_pdrop": 0.1,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "vocab_size": 51200,
    },
    "Phi-3-mini-4k-instruct": {
        "architectures": ["Phi3ForCausalLM"],
        "attention_bias": False,
        "auto_map": {"AutoModelForCausalLM": "modeling_phi3.Phi3ForCausalLM"},
        "hidden_act": "silu",
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 4096,
        "model_type": "phi3",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "original_max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 10000.0,
        "sliding_window": 2047,
        "tie_word_embeddings": False,
        "vocab_size": 32064,
    },
    "gpt2": {
        "activation_function": "gelu_new",
        "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1,
        "layer_norm_epsilon": 1e-05,
        "model_type": "gpt2",
        "n_ctx": 1024,
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 1024,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": 50257,
    },
    "openai-gpt": {
        "afn": "gelu",
        "architectures": ["OpenAIGPTLMHeadModel"],
        "attn_pdrop": 0.1,
        "layer_norm_epsilon": 1e-05,
        "model_type": "openai-gpt",
        "n_ctx": 512,
        "n_embd": 768,
        "n_head": 12,
        "n_layer": 12,
        "n_positions": 512,
        "n_special": 0,
        "predict_special_tokens": True,
        "vocab_size": 40478,
    },
}


PUBLISHED |= {
    "Qwen2.5-0.5B-Instruct with yarn": PUBLISHED["Qwen2.5-0.5B-Instruct"]
    | {"rope_scaling": {"factor": 4.0, "original_max_position_embeddings": 32768, "type": "yarn"}},
    "Phi-3-mini-128k-instruct": PUBLISHED["Phi-3-mini-4k-instruct"]
    | {"max_position_embeddings": 131072, "sliding_window": 262144}
    | {"rope_scaling": {"long_factor": [1.5] * 48, "short_factor": [1.0] * 48, "type": "longrope"}},
    "SmolLM3-3B": {
        "architectures": ["SmolLM3ForCausalLM"],
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 11008,
        "layer_types": ["full_attention"] * 36,
        "max_position_embeddings": 65536,
        "max_window_layers": 28,
        "mlp_bias": False,
        "model_type": "smollm3",
        "no_rope_layer_interval": 4,
        "no_rope_layers": [1, 1, 1, 0] * 9,
        "num_attention_heads": 16,
        "num_hidden_layers": 36,
        "num_key_value_heads": 4,
        "pretraining_tp": 2,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 5000000.0,
        "sliding_window": None,
        "use_sliding_window": False,
        "vocab_size": 128256,
    },
    "OLMo-2-1124-7B-Instruct": {
        "architectures": ["Olmo2ForCausalLM"],
        "attention_bias": False,
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "max_position_embeddings": 4096,
        "model_type": "olmo2",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 500000,
        "tie_word_embeddings": False,
        "vocab_size": 100352,
    },
    "granite-3.1-2b-instruct": {
        "architectures": ["GraniteForCausalLM"],
        "attention_bias": False,
        "attention_multiplier": 0.015625,
        "embedding_multiplier": 12.0,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "logits_scaling": 8.0,
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "model_type": "granite",
        "num_attention_heads": 32,
        "num_hidden_layers": 40,
        "num_key_value_heads": 8,
        "residual_multiplier": 0.22,
        "rms_norm_eps": 1e-05,
        "rope_scaling": None,
        "rope_theta": 5000000.0,
        "tie_word_embeddings": True,
        "vocab_size": 49155,
    },
    "stablelm-2-1_6b": {
        "architectures": ["StableLmForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 4096,
        "model_type": "stablelm",
        "num_attention_heads": 32,
        "num_hidden_layers": 24,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.25,
        "rope_theta": 10000,
        "tie_word_embeddings": False,
        "use_qkv_bias": True,
        "vocab_size": 100352,
    },
    "pythia-160m": {
        "architectures": ["GPTNeoXForCausalLM"],
        "hidden_act": "gelu",
        "hidden_size": 768,
        "intermediate_size": 3072,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "model_type": "gpt_neox",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "rotary_emb_base": 10000,
        "rotary_pct": 0.25,
        "tie_word_embeddings": False,
        "use_parallel_residual": True,
        "vocab_size": 50304,
    },
    "opt-125m": {
        "_remove_final_layer_norm": False,
        "activation_function": "relu",
        "architectures": ["OPTForCausalLM"],
        "do_layer_norm_before": True,
        "ffn_dim": 3072,
        "hidden_size": 768,
        "max_position_embeddings": 2048,
        "model_type": "opt",
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "pad_token_id": 1,
        "prefix": "</s>",
        "vocab_size": 50272,
        "word_embed_proj_dim": 768,
    },
    "xglm-564M": {
        "activation_function": "gelu",
        "architectures": ["XGLMForCausalLM"],
        "attention_heads": 16,
        "d_model": 1024,
        "decoder_start_token_id": 2,
        "ffn_dim": 4096,
        "max_position_embeddings": 2048,
        "model_type": "xglm",
        "num_layers": 24,
        "pad_token_id": 1,
        "scale_embedding": True,
        "vocab_size": 256008,
    },
    "Mixtral-8x7B-Instruct-v0.1": {
        "architectures": ["MixtralForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "model_type": "mixtral",
        "num_attention_heads": 32,
        "num_experts_per_tok": 2,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "output_router_logits": False,
        "rms_norm_eps": 1e-05,
        "rope_theta": 1000000.0,
        "router_aux_loss_coef": 0.02,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "vocab_size": 32000,
    },
    "Qwen3-30B-A3B": {
        "architectures": ["Qwen3MoeForCausalLM"],
        "attention_bias": False,
        "decoder_sparse_step": 1,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "max_position_embeddings": 40960,
        "max_window_layers": 48,
        "mlp_only_layers": [],
        "model_type": "qwen3_moe",
        "moe_intermediate_size": 768,
        "norm_topk_prob": True,
        "num_attention_heads": 32,
        "num_experts": 128,
        "num_experts_per_tok": 8,
        "num_hidden_layers": 48,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-06,
        "rope_scaling": None,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "vocab_size": 151936,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_means_what_transformers_makes_of_it(name: str) -> None:
    published = PUBLISHED[name]
    plain = AutoConfig.for_model(**deepcopy(published)).to_dict()  # everything spelled out, in the new spelling
    assert "rope_theta" not in plain
    assert read_config(published)[1] == read_config(plain)[1]


# What transformers reads but that changes no logit of a plain forward pass in evaluation.
WITHOUT_EFFECT = {
    *("attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout"),  # only in training
    *("summary_proj_to_labels", "summary_use_proj", "problem_type", "num_labels"),  # heads that classify
    *("initializer_range", "pad_token_id", "use_cache", "output_attentions", "output_hidden_states", "return_dict"),
    *("hidden_dropout", "dropout", "layerdrop", "activation_dropout", "router_jitter_noise"),  # only in training
    *("output_router_logits", "router_aux_loss_coef", "init_std", "classifier_dropout", "is_encoder_decoder"),
    "is_decoder",  # only in an example
    "reorder_and_upcast_attn",  # the same numbers at a higher precision
    "original_max_position_embeddings",  # only with a rope that is refused
}


@pytest.mark.parametrize("case", tiny.CASES)
def test_every_key_that_transformers_reads_is_read(case: str) -> None:
    kind = tiny.CASES[case][0]
    module = "openai" if kind == "openai-gpt" else kind.removesuffix("_text")
    source = inspect.getsource(importlib.import_module(f"transformers.models.{module}.modeling_{module}"))
    names = AutoConfig.for_model(kind).attribute_map
    read = {names.get(name, name) for name in re.findall(r"config\.(\w+)", source)}
    keys = CheckedJson(config_of(case)).defaulting(FAMILIES[kind].defaults)
    FAMILIES[kind].read(keys)
    assert read & keys.unasked() - WITHOUT_EFFECT == set()


KNOWN_ACTIVATIONS = {
    *("relu", "silu", "swish", "gelu", "gelu_python"),
    *("gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"),
}


@pytest.mark.parametrize("name", ACT2FN)
def test_an_activation_is_the_one_of_that_name_or_refused(name: str) -> None:
    published = config_of("gpt2", activation_function=name)
    if name not in KNOWN_ACTIVATIONS:
        with pytest.raises(UnsupportedModel, match=repr(name)):
            read_config(published)
        return
    config = read_config(published)[1]
    x = torch.linspace(-6, 6, 1001)
    torch.testing.assert_close(ACTIVATIONS[config.activation](x), ACT2FN[name](x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ACT_FNS)
def test_the_first_gpt_has_names_of_its_own_for_activations(name: str) -> None:
    config = read_config(config_of("openai-gpt", afn=name))[1]
    x = torch.linspace(-6, 6, 1001)
    torch.testing.assert_close(ACTIVATIONS[config.activation](x), ACT_FNS[name](x), rtol=0, atol=1e-6)


def test_the_first_gemma_says_gelu_and_means_the_approximation() -> None:
    as_transformers_reads_it = AutoConfig.for_model("gemma", hidden_act="gelu").hidden_act
    assert as_transformers_reads_it == "gelu_pytorch_tanh"
    assert read_config(config_of("gemma", hidden_act="gelu"))[1].activation == "gelu_tanh"


def test_yarn_makes_room_for_what_it_stretches_to() -> None:
    published = PUBLISHED["Qwen2.5-0.5B-Instruct with yarn"]
    assert read_config(published)[1].context_length == 131072
    assert read_config(published | {"max_position_embeddings": 200_000})[1].context_length == 200_000
    assert read_config(config_of("yarn"))[1].context_length == 128


@pytest.mark.parametrize("former", ["su", "yarn"])
def test_longrope_under_the_names_it_was_published_with(former: str) -> None:
    now = PUBLISHED["Phi-3-mini-128k-instruct"]
    then = now | {"rope_scaling": now["rope_scaling"] | {"type": former}}
    assert read_config(then)[1] == read_config(now)[1]


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"model_type": "mamba"}, "'mamba'"),
    ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
    ("llama", {"architectures": ["LlamaBidirectionalModel"]}, "architectures"),
    ("llama", {"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantization_config"),
    ("llama", {"hidden_act": "relu2"}, "hidden_act 'relu2'"),
    ("llama", {"sliding_window": 4096}, "sliding_window 4096"),
    ("llama", {"num_local_experts": 8}, "num_local_experts 8"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
    ("llama", {"use_bidirectional_attention": True}, "use_bidirectional_attention True"),
    ("llama", {"logits_scaling": 8.0}, "logits_scaling 8.0"),
    ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
    ("llama", {"rope_parameters": {"rope_type": "default", "mrope_section": [1, 2]}}, "mrope_section"),
    ("llama", {"rope_parameters": {"rope_type": "axial"}}, "rope_type 'axial'"),
    ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0, "alpha": 1000.0}}, "alpha 1000.0"),
    ("llama", {"rope_scaling": {"rope_type": "proportional", "type": "linear", "factor": 2.0}}, "'proportional'"),
    ("phi3", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "type 'linear'"),
    ("longrope", {"rope_scaling": tiny.LONGROPE | {"short_mscale": 1.1}}, "short_mscale 1.1"),
    ("qwen3_moe", {"layer_types": ["full_attention"] * 3}, "layer_types"),
    ("opt", {"word_embed_proj_dim": 16}, "word_embed_proj_dim 16"),
    ("opt", {"_remove_final_layer_norm": True}, "_remove_final_layer_norm True"),
    ("opt", {"layer_norm_elementwise_affine": False}, "layer_norm_elementwise_affine False"),
    ("xglm", {"add_cross_attention": True}, "add_cross_attention True"),
    ("xglm", {"pad_token_id": 5}, "pad_token_id 5"),
    ("gpt_neox", {"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5"),
    ("mixtral", {"quantization_config": {"quant_method": "awq", "bits": 4}}, "quantization_config"),
    ("mistral", {"layer_types": ["full_attention"] * 3}, "layer_types"),
    ("qwen2", {"layer_types": ["full_attention", "linear_attention", "full_attention"]}, "layer_types"),
    ("qwen2", {"layer_types": ["full_attention"]}, "layer_types"),
    ("gemma", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("gemma2", {"hidden_activation": "quick_gelu"}, "quick_gelu"),
    ("gemma3_text", {"use_bidirectional_attention": True}, "use_bidirectional_attention"),
    ("gemma3_text", {"rope_parameters": {"chunked_attention": {"rope_type": "default"}}}, "chunked_attention"),
    ("gemma3_text", {"rope_parameters": {"sliding_attention": {"rope_type": "yarn"}}}, "'yarn'"),
    ("phi", {"qk_layernorm": True}, "qk_layernorm"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention"),
    ("gpt2", {"activation_function": "tanh"}, "'tanh'"),
]


@pytest.mark.parametrize(("case", "change", "named"), REFUSED)
def test_what_is_not_understood_is_refused_by_name(case: str, change: dict[str, Any], named: str) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        read_config(config_of(case, **change))
    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "change",
    [
        {"architectures": ["LlamaForCausalLM"]},
        {"architectures": ["LLaMAForCausalLM"]},
        {"sliding_window": False, "num_local_experts": 0, "logits_scaling": 1.0},
        {"rope_scaling": {}},
        {"rope_parameters": {"rope_theta": 10_000.0, "partial_rotary_factor": 1.0}},
        {"transformers_version": "4.0", "_name_or_path": "somewhere", "auto_map": {"AutoConfig": "own.Config"}},
    ],
)
def test_what_says_nothing_is_passed_over(change: dict[str, Any]) -> None:
    assert read_config(config_of("llama", **change))[1] == read_config(config_of("llama"))[1]


BAD: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"model_type": None}, "has no model_type"),
    ("llama", {"model_type": 3}, "has 3 as model_type"),
    ("llama", {"hidden_size": None}, "has no hidden_size"),
    ("llama", {"hidden_size": "32"}, "has '32' as hidden_size"),
    ("llama", {"num_hidden_layers": True}, "has True as num_hidden_layers"),
    ("llama", {"num_hidden_layers": 0}, "has 0 as num_hidden_layers"),
    ("llama", {"rms_norm_eps": "small"}, "rms_norm_eps"),
    ("llama", {"rms_norm_eps": float("nan")}, "rms_norm_eps"),
    ("llama", {"tie_word_embeddings": "yes"}, "tie_word_embeddings"),
    ("llama", {"num_key_value_heads": 3}, "4 query heads cannot share 3 key heads"),
    ("llama", {"head_dim": 7}, "odd"),
    ("llama", {"rope_parameters": [1]}, "rope_parameters"),
    ("llama", {"rope_parameters": {"rope_type": "linear"}}, "rope_parameters in config.json has no factor"),
    ("llama", {"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"),
    ("qwen2", {"use_sliding_window": False, "layer_types": ["sliding_attention"] * 3}, "window"),
    ("smollm3", {"no_rope_layers": [1, 0]}, "has [1, 0] as no_rope_layers"),
    ("smollm3", {"no_rope_layers": [0.5] * 3}, "as no_rope_layers"),
    ("mixtral", {"num_experts_per_tok": 6}, "a token cannot use 6 of 5 experts"),
    ("mixtral", {"num_local_experts": 0}, "has 0 as num_local_experts"),
    ("granite", {"residual_multiplier": 0}, "has 0 as residual_multiplier"),
    ("longrope", {"rope_scaling": tiny.LONGROPE | {"short_factor": [1.0] * 3}}, "3 short factors and 4 long ones"),
    ("longrope", {"rope_scaling": tiny.LONGROPE | {"short_factor": [1.0], "long_factor": [1.0]}}, "needs 4 factors"),
    ("longrope", {"rope_scaling": tiny.LONGROPE | {"long_factor": [1.0, 1.0, 1.0, 0.0]}}, "long_factor"),
    ("longrope", {"rope_scaling": tiny.LONGROPE | {"long_factor": None}}, "has no long_factor"),
    ("longrope", {"original_max_position_embeddings": 1}, "has 1 as original_max_position_embeddings"),
    ("yarn", {"rope_parameters": {"rope_type": "yarn"}}, "has no factor"),
    ("yarn", {"rope_parameters": tiny.YARN | {"rope_theta": 1.0}}, "theta"),
    ("phi", {"partial_rotary_factor": 0.3, "rope_parameters": None, "hidden_size": 40}, "even"),
]


@pytest.mark.parametrize(("case", "change", "said"), BAD)
def test_a_damaged_config_is_one_clear_sentence(case: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadCheckpoint) as caught:
        read_config(config_of(case, **change))
    assert said in caught.value.message
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_value_under_any_key_is_understood_or_refused_in_a_sentence(data: st.DataObject) -> None:
    config = config_of(data.draw(st.sampled_from(sorted(tiny.CASES))))
    key = data.draw(st.sampled_from(sorted(config)))
    config[key] = data.draw(JSON)
    said = ""
    try:
        read_config(config)
    except LogitscopeError as error:
        said = str(error)
    assert said.isprintable()


def test_the_modules_that_say_what_can_be_opened_do_not_wait_for_torch() -> None:
    code = "import sys, weights.text_side, weights.library.listing as l; l.listing(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
