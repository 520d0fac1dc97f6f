"""What a config.json means is what transformers takes it to mean; what is not understood is refused."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig
from transformers.activations import ACT2FN
from transformers.models.openai.modeling_openai import ACT_FNS

from core.errors import BadCheckpoint, LogitscopeError, UnsupportedModel
from core.transformer import ACTIVATIONS
from tests.weights import tiny
from weights.families import FAMILIES, read_config
from weights.keys import Keys

KINDS = [kind for kind in FAMILIES if kind != "logitscope"]


def config_of(case: str, **changes: Any) -> dict[str, Any]:
    """The config.json transformers writes for a case, with changes; a change to None removes the key."""
    kind, options = tiny.CASES[case]
    values: dict[str, Any] = AutoConfig.for_model(kind, **options).to_dict() | changes
    return {name: value for name, value in values.items() if name not in changes or changes[name] is not None}


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_left_out_means_what_transformers_takes_it_to_mean(kind: str) -> None:
    heads = {"hidden_size": 128, "num_attention_heads": 32}  # so many that every default number of key heads divides it
    sizes = tiny.GPT_SIZES if "gpt" in kind else tiny.SIZES | heads
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


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_config_means_what_transformers_makes_of_it(name: str) -> None:
    published = PUBLISHED[name]
    plain = AutoConfig.for_model(**published).to_dict()  # everything spelled out, in the new spelling
    assert "rope_theta" not in plain
    assert read_config(published)[1] == read_config(plain)[1]


# What transformers reads but that changes no logit of a plain forward pass in evaluation.
WITHOUT_EFFECT = {
    *("attention_dropout", "attn_pdrop", "embd_pdrop", "resid_pdrop", "summary_first_dropout"),  # only in training
    *("summary_proj_to_labels", "summary_use_proj", "problem_type", "num_labels"),  # heads that classify
    *("initializer_range", "pad_token_id", "use_cache", "output_attentions", "output_hidden_states", "return_dict"),
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
    keys = Keys(config_of(case)).defaulting(FAMILIES[kind].defaults)
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


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("llama", {"model_type": "mixtral"}, "'mixtral'"),
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
    ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, "rope_type 'yarn'"),
    ("llama", {"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "type 'dynamic'"),
    ("llama", {"rope_scaling": {"rope_type": "longrope", "type": "linear", "factor": 2.0}}, "'longrope'"),
    ("phi3", {"rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [1.0]}}, "type 'su'"),
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
    code = "import sys, weights.shelf, weights.vocabulary; weights.shelf.listing(); print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
