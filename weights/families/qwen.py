"""The Qwens: Llamas with biases or norms on queries and keys. Knows no torch."""

from __future__ import annotations

from typing import Any

from core.config import ModelConfig
from weights.families.llama_like import (
    LLAMA_NAMES,
    SILU,
    read_common,
    read_silu_and_rms,
    read_used_window,
    read_windows,
)
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson


def _qwen(keys: CheckedJson) -> dict[str, Any]:
    first = keys.count("max_window_layers", least=0)
    windows = read_windows(keys, read_used_window(keys), lambda layer: layer >= first)
    return read_common(keys) | read_silu_and_rms(keys) | windows


def _qwen2(keys: CheckedJson) -> ModelConfig:
    fields = _qwen(keys)
    fields |= {"qkv_bias": True, "output_bias": False}
    return ModelConfig(**fields)


def _qwen3(keys: CheckedJson) -> ModelConfig:
    return ModelConfig(**_qwen(keys), qk_norm=True)


_QWEN = SILU | {"num_key_value_heads": 32, "sliding_window": 4096, "max_window_layers": 28}

FAMILIES = {
    "qwen2": Family(architecture="Qwen2ForCausalLM", read=_qwen2, names=LLAMA_NAMES, defaults=_QWEN),
    "qwen3": Family(
        architecture="Qwen3ForCausalLM", read=_qwen3, names=LLAMA_NAMES, defaults=_QWEN | {"head_dim": 128}
    ),
}
