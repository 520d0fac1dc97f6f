"""The models that are suggested: their numbers against transformers, and that our families read them."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from core.quantization.formats import BITS
from weights.families import FAMILIES, read_config
from weights.fit.requirement import requirement_of
from weights.gguf.architectures import ARCHITECTURES
from weights.hub.repository import parse
from weights.library.suggestions import SUGGESTIONS, Suggestion

_BITS = {"BF16": 16.0, "Q8_0": 8.5, "Q4_K_M": 4.89}  # per weight of a whole file (llama.cpp, tools/quantize)
_SHAPE = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_SHAPE += ("num_key_value_heads", "head_dim", "max_position_embeddings")


def shape(*numbers: int, tied: bool = True) -> dict[str, object]:
    return {**dict(zip(_SHAPE, numbers, strict=True)), "tie_word_embeddings": tied}


# As in the config.json of each.
CONFIGS: dict[str, PreTrainedConfig] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": LlamaConfig(**shape(49152, 576, 1536, 30, 9, 3, 64, 8192)),
    "HuggingFaceTB/SmolLM2-360M-Instruct": LlamaConfig(**shape(49152, 960, 2560, 32, 15, 5, 64, 8192)),
    "Qwen/Qwen2.5-0.5B-Instruct": Qwen2Config(**shape(151936, 896, 4864, 24, 14, 2, 64, 32768)),
    "Qwen/Qwen3-0.6B": Qwen3Config(**shape(151936, 1024, 3072, 28, 16, 8, 128, 40960)),
    "google/gemma-3-1b-it": Gemma3TextConfig(**shape(262144, 1152, 6912, 26, 4, 1, 256, 32768)),
    "meta-llama/Llama-3.2-1B-Instruct": LlamaConfig(**shape(128256, 2048, 8192, 16, 32, 8, 64, 131072)),
    "Qwen/Qwen2.5-1.5B-Instruct": Qwen2Config(**shape(151936, 1536, 8960, 28, 12, 2, 128, 32768)),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": LlamaConfig(**shape(49152, 2048, 8192, 24, 32, 32, 64, 8192)),
    "Qwen/Qwen3-1.7B-GGUF:Q8_0": Qwen3Config(**shape(151936, 2048, 6144, 28, 16, 8, 128, 40960)),
    "HuggingFaceTB/SmolLM3-3B": SmolLM3Config(
        **shape(128256, 2048, 11008, 36, 16, 4, 128, 65536), pad_token_id=None, use_sliding_window=False
    ),
    "microsoft/Phi-3-mini-4k-instruct": Phi3Config(
        **shape(32064, 3072, 8192, 32, 32, 32, 96, 4096, tied=False), pad_token_id=None, sliding_window=2047
    ),
    "Qwen/Qwen3-4B-GGUF:Q4_K_M": Qwen3Config(**shape(151936, 2560, 9728, 36, 32, 8, 128, 40960)),
}


@pytest.mark.parametrize("suggestion", SUGGESTIONS, ids=lambda one: one.reference)
def test_the_numbers_are_those_of_a_model_that_transformers_builds(suggestion: Suggestion) -> None:
    config = CONFIGS[suggestion.reference]
    with torch.device("meta"):
        built = AutoModelForCausalLM.from_config(config)
    n_parameters = sum(one.numel() for one in built.parameters())
    _, ours = read_config({**config.to_dict(), "architectures": [type(built).__name__]})
    kept = None if suggestion.quantization == "BF16" else BITS["int8"]  # as they are stored, or nearly
    assert suggestion.requirement == requirement_of(ours, n_parameters, kept)
    assert suggestion.family == config.model_type.removesuffix("_text")
    bits = _BITS[suggestion.quantization]
    # Where the head is stored beside the embedding though it is the same, a file is larger than its model.
    assert n_parameters * bits / 8 * 0.97 < suggestion.download < n_parameters * bits / 8 * 1.3


def test_each_can_be_asked_for_and_opened_and_stands_there_once() -> None:
    assert 8 <= len(SUGGESTIONS) <= 12
    for one in SUGGESTIONS:
        name, file = parse(one.reference)
        assert (file is not None) == name.endswith("-GGUF")
        assert one.family in (ARCHITECTURES if file else FAMILIES) or one.family == "gemma3"
        assert len(f"Good for: {one.good_for}.") <= 71, "one line at 80 cells"
    assert set(Counter(one.reference for one in SUGGESTIONS).values()) == {1}
    sizes = [one.requirement.n_parameters for one in SUGGESTIONS]
    assert sizes == sorted(sizes)
