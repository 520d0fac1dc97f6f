"""Tiny random checkpoints of every family, written to disk by transformers itself."""

from __future__ import annotations

import json
import os
from copy import deepcopy
from pathlib import Path
from typing import Any

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

logging.disable_progress_bar()
torch.set_num_threads(1)

VOCAB = 300
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "pad_token_id": None,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "n_positions": 128,
    "n_embd": 32,
    "n_layer": 3,
    "n_head": 4,
    "bos_token_id": None,
    "eos_token_id": None,
}
GEMMA = SIZES | {"num_key_value_heads": 2, "head_dim": 16}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 500.0, "factor": 2.0, "original_max_position_embeddings": 64}
LONGROPE = {
    "rope_type": "longrope",
    "short_factor": [1.0, 1.1, 1.3, 1.5],
    "long_factor": [1.2, 2.0, 3.0, 4.5],
}
STABLELM = SIZES | {"num_key_value_heads": 2, "hidden_size": 64, "rope_theta": 100.0}  # a quarter of a head: two pairs
NEOX = SIZES | {"rope_parameters": {"partial_rotary_factor": 0.5}}
OPT_SIZES = {name: size for name, size in SIZES.items() if name != "intermediate_size"} | {"ffn_dim": 48}
XGLM_SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "d_model": 32,
    "ffn_dim": 96,
    "num_layers": 3,
    "attention_heads": 4,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": None,
}
MOE = SIZES | {"num_key_value_heads": 2, "num_experts_per_tok": 2}
QWEN3_MOE = MOE | {"num_experts": 5, "moe_intermediate_size": 24, "head_dim": 16}
GEMMA3_ROPES = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}

# name of the case -> model_type, and what its config is made with
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SIZES | {"num_key_value_heads": 2}),
    "llama, all biases, tied": (
        "llama",
        SIZES | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True, "hidden_act": "gelu"},
    ),
    "llama 3 scaling": ("llama", SIZES | {"num_key_value_heads": 2, "rope_parameters": LLAMA3}),
    "llama, linear scaling": (
        "llama",
        SIZES | {"rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1000.0}},
    ),
    "mistral": ("mistral", SIZES | {"num_key_value_heads": 2, "sliding_window": 5, "head_dim": 12}),
    "qwen2": ("qwen2", SIZES | {"num_key_value_heads": 2}),
    "qwen2, windows": (
        "qwen2",
        SIZES | {"num_key_value_heads": 2, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", SIZES | {"num_key_value_heads": 2, "head_dim": 16}),
    "gemma": ("gemma", GEMMA | {"num_key_value_heads": 1}),
    "gemma2": ("gemma2", GEMMA | {"sliding_window": 5, "query_pre_attn_scalar": 24}),
    "gemma3_text": (
        "gemma3_text",
        GEMMA
        | {
            "sliding_window": 5,
            "query_pre_attn_scalar": 24,
            "num_hidden_layers": 7,
            "sliding_window_pattern": 3,
            "rope_parameters": GEMMA3_ROPES,
        },
    ),
    "phi": ("phi", SIZES | {"num_key_value_heads": 2}),
    "phi3": ("phi3", SIZES | {"num_key_value_heads": 2, "sliding_window": 7}),
    "phi3, partial rope": ("phi3", SIZES | {"partial_rotary_factor": 0.5}),
    "gpt2": ("gpt2", GPT_SIZES),
    "gpt2, relu, no scale": (
        "gpt2",
        GPT_SIZES | {"activation_function": "relu", "n_inner": 40, "scale_attn_weights": False},
    ),
    "openai-gpt": ("openai-gpt", GPT_SIZES),
    "smollm3": ("smollm3", SIZES | {"num_key_value_heads": 2, "no_rope_layers": [1, 0, 1]}),
    "smollm3, biases, windows": (
        "smollm3",
        SIZES
        | {"num_key_value_heads": 2, "no_rope_layer_interval": 2, "use_sliding_window": True, "sliding_window": 6}
        | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False},
    ),
    "olmo2": ("olmo2", SIZES | {"num_key_value_heads": 2}),
    "olmo2, biases": ("olmo2", SIZES | {"attention_bias": True, "tie_word_embeddings": True}),
    "granite": (
        "granite",
        SIZES
        | {"num_key_value_heads": 2, "embedding_multiplier": 1.7, "attention_multiplier": 0.3}
        | {"residual_multiplier": 0.6, "logits_scaling": 2.5},
    ),
    "stablelm": ("stablelm", STABLELM),
    "stablelm, qkv bias, parallel": (
        "stablelm",
        SIZES
        | {"num_key_value_heads": 4, "use_qkv_bias": True, "use_parallel_residual": True}
        | {"partial_rotary_factor": 0.5},
    ),
    "stablelm, norms of heads": ("stablelm", STABLELM | {"qk_layernorm": True}),
    "gpt_neox": ("gpt_neox", NEOX),
    "gpt_neox, one after the other, no bias": (
        "gpt_neox",
        NEOX | {"use_parallel_residual": False, "attention_bias": False, "hidden_act": "gelu_fast"},
    ),
    "opt": ("opt", OPT_SIZES),
    "opt, post-norm, no bias": (
        "opt",
        OPT_SIZES | {"do_layer_norm_before": False, "enable_bias": False, "activation_function": "gelu"},
    ),
    "xglm": ("xglm", XGLM_SIZES),
    "xglm, no scale": ("xglm", XGLM_SIZES | {"scale_embedding": False, "activation_function": "relu"}),
    "mixtral": ("mixtral", MOE | {"num_local_experts": 5}),
    "mixtral, windows": (
        "mixtral",
        MOE | {"num_local_experts": 3, "sliding_window": 5, "head_dim": 12, "num_experts_per_tok": 1},
    ),
    "qwen3_moe": ("qwen3_moe", QWEN3_MOE),
    "qwen3_moe, some plain layers": (
        "qwen3_moe",
        QWEN3_MOE
        | {"norm_topk_prob": True, "mlp_only_layers": [1], "num_experts_per_tok": 3}
        | {"use_sliding_window": True, "sliding_window": 7},
    ),
    "yarn": ("llama", SIZES | {"num_key_value_heads": 2, "rope_parameters": YARN}),
    "yarn, every knob": (
        "qwen2",
        SIZES
        | {"num_key_value_heads": 2, "hidden_size": 64}
        | {"rope_parameters": YARN | {"beta_fast": 4.0, "beta_slow": 0.5, "truncate": False, "attention_factor": 1.3}},
    ),
    "yarn, two scales": (
        "qwen3",
        SIZES
        | {"num_key_value_heads": 2, "head_dim": 16}
        | {"rope_parameters": YARN | {"rope_theta": 300.0, "mscale": 1.5, "mscale_all_dim": 0.7}},
    ),
    "longrope": (
        "phi3",
        SIZES | {"original_max_position_embeddings": 48, "rope_parameters": LONGROPE, "rope_theta": 500.0},
    ),
    "longrope, partial rope": (
        "phi3",
        SIZES
        | {"original_max_position_embeddings": 48, "partial_rotary_factor": 0.5, "sliding_window": 60}
        | {
            "rope_parameters": LONGROPE
            | {"short_factor": [1.0, 1.2], "long_factor": [1.5, 4.0], "attention_factor": 1.2}
        },
    ),
    "dynamic": (
        "llama",
        SIZES | {"rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 500.0}},
    ),
}


def random_model(case: str) -> PreTrainedModel:
    """With every parameter random, norms and biases too, or a missed one would not show."""
    kind, options = CASES[case]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **deepcopy(options))).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model


def write(case: str, folder: Path, **options: Any) -> Path:
    """Save a case as transformers does, with a tokenizer beside it."""
    random_model(case).save_pretrained(folder, **options)
    write_tokenizer(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """A byte-level BPE: <|im_start|>, <|im_end|>, <|endoftext|>, 256 bytes, and 26 merges: 285 tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat sat on the mat and the dog sat on the log with the frog"] * 4, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def reference(folder: Path) -> PreTrainedModel:
    """What transformers makes of a directory."""
    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None removes one."""
    values = json.loads(path.read_text()) if path.is_file() else {}
    values |= changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
