"""The tiny checkpoints of transformers as GGUF files, written with the `gguf` package as llama.cpp's converter does."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFWriter, TokenType
from numpy.typing import NDArray
from tokenizers import Tokenizer
from transformers import PreTrainedModel

from tests.weights.support import tiny

Array = NDArray[Any]
Add = Callable[[GGUFWriter, int], None]
Kind = GGMLQuantizationType

ARCHITECTURES = {
    "llama": MODEL_ARCH.LLAMA,
    "mistral": MODEL_ARCH.LLAMA,
    "qwen2": MODEL_ARCH.QWEN2,
    "qwen3": MODEL_ARCH.QWEN3,
    "gemma": MODEL_ARCH.GEMMA,
    "gemma2": MODEL_ARCH.GEMMA2,
    "gemma3_text": MODEL_ARCH.GEMMA3,
    "phi": MODEL_ARCH.PHI2,
    "phi3": MODEL_ARCH.PHI3,
    "gpt2": MODEL_ARCH.GPT2,
    "granite": MODEL_ARCH.GRANITE,
    "olmo2": MODEL_ARCH.OLMO2,
    "smollm3": MODEL_ARCH.SMOLLM3,
    "stablelm": MODEL_ARCH.STABLELM,
    "gpt_neox": MODEL_ARCH.GPTNEOX,
    "mixtral": MODEL_ARCH.LLAMA,
    "qwen3_moe": MODEL_ARCH.QWEN3MOE,
}
_LAYER_NORMS = (MODEL_ARCH.GPT2, MODEL_ARCH.PHI2, MODEL_ARCH.STABLELM, MODEL_ARCH.GPTNEOX)
_NEIGHBOURS = (MODEL_ARCH.LLAMA, MODEL_ARCH.GRANITE, MODEL_ARCH.SMOLLM3)  # channels that turn together lie side by side


def write(case: str, path: Path, **options: Any) -> tuple[Path, PreTrainedModel]:
    """A case as a GGUF file, and the model it was written from."""
    model = tiny.random_model(case)
    return write_model(model, path, **options), model


def write_model(
    model: PreTrainedModel,
    path: Path,
    *,
    kind: Kind = Kind.F32,
    block: Callable[[tuple[int, ...], Kind], Array] | None = None,
    change: Callable[[GGUFWriter], Any] | None = None,
    tokenizer: Add | None = None,
    split: int = 0,
) -> Path:
    """
    Args:
        kind: of every matrix; vectors are F32.
        block: makes the bytes of a matrix in a format that `gguf` cannot write itself.
        change: is given the writer at the end of the metadata.
        split: tensors in a file, if there shall be several.
    """
    architecture = ARCHITECTURES[model.config.model_type]
    writer = GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture], split_max_tensors=split)
    _write_config(writer, model.config, architecture)
    (tokenizer or add_tiny_tokenizer)(writer, model.config.vocab_size)
    if change:
        change(writer)
    for name, values in converted(model, architecture).items():
        if values.ndim == 1 or name in ("position_embd.weight",):
            writer.add_tensor(name, values)
        elif block:
            writer.add_tensor(name, block(values.shape, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_config(writer: GGUFWriter, config: Any, architecture: MODEL_ARCH) -> None:
    heads = config.num_attention_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    rope = getattr(config, "rope_parameters", None) or {}
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(getattr(config, "num_key_value_heads", None) or heads)
    writer.add_feed_forward_length(getattr(config, "intermediate_size", None) or config.n_inner or 4 * config.n_embd)
    if architecture in _LAYER_NORMS:
        writer.add_layer_norm_eps(getattr(config, "layer_norm_eps", None) or config.layer_norm_epsilon)
    else:
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if architecture is MODEL_ARCH.GPT2:
        return
    writer.add_key_length(head)
    writer.add_value_length(head)
    part = rope.get("partial_rotary_factor", 1.0)
    writer.add_rope_dimension_count(int(head * part))
    whole = rope.get("full_attention", rope)
    writer.add_rope_freq_base(whole.get("rope_theta", 10000.0))
    if whole.get("rope_type") in ("linear", "yarn"):
        writer.add_rope_scaling_type(gguf.RopeScalingType(whole["rope_type"]))
        writer.add_rope_scaling_factor(whole["factor"])
    if whole.get("rope_type") == "yarn":
        writer.add_rope_scaling_orig_ctx_len(whole["original_max_position_embeddings"])
        writer.add_rope_scaling_yarn_beta_fast(32.0)
        writer.add_rope_scaling_yarn_beta_slow(1.0)
    if whole.get("rope_type") == "longrope":
        original = config.original_max_position_embeddings
        grown = math.sqrt(1 + math.log(config.max_position_embeddings / original) / math.log(original))
        writer.add_rope_scaling_orig_ctx_len(original)
        writer.add_rope_scaling_attn_factors(whole.get("attention_factor") or grown)
    _write_own_config(writer, config, architecture)
    if "sliding_attention" in rope:
        writer.add_float32(f"{writer.arch}.rope.freq_base_swa", rope["sliding_attention"]["rope_theta"])
    if architecture in (MODEL_ARCH.GEMMA2, MODEL_ARCH.GEMMA3, MODEL_ARCH.PHI3) and config.sliding_window:
        writer.add_sliding_window(config.sliding_window)
    if architecture is MODEL_ARCH.GEMMA3:
        pattern = [kind == "sliding_attention" for kind in config.layer_types]
        writer.add_uint32("gemma3.attention.sliding_window_pattern", pattern.index(False) + 1)
    if architecture is MODEL_ARCH.GEMMA2:
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)


def _write_own_config(writer: GGUFWriter, config: Any, architecture: MODEL_ARCH) -> None:
    """What only some architectures say."""
    if architecture is MODEL_ARCH.GRANITE:
        writer.add_attention_scale(config.attention_multiplier)
        writer.add_embedding_scale(config.embedding_multiplier)
        writer.add_residual_scale(config.residual_multiplier)
        writer.add_logit_scale(config.logits_scaling)
    if architecture in (MODEL_ARCH.STABLELM, MODEL_ARCH.GPTNEOX):
        writer.add_parallel_residual(config.use_parallel_residual)
    if (experts := getattr(config, "num_local_experts", None) or getattr(config, "num_experts", None)) is not None:
        writer.add_expert_count(experts)
        writer.add_expert_used_count(config.num_experts_per_tok)
    if architecture is MODEL_ARCH.QWEN3MOE:
        writer.add_expert_feed_forward_length(config.moe_intermediate_size)


def converted(model: PreTrainedModel, architecture: MODEL_ARCH) -> dict[str, Array]:
    """Tensors under llama.cpp's names, in its order of channels."""
    config: Any = model.config
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    heads = config.num_attention_heads
    found: dict[str, Array] = {}
    for theirs, values in _in_pieces(model):
        if theirs == "lm_head.weight" and config.tie_word_embeddings:
            continue
        ours = names.get_name(theirs, (".weight", ".bias"))
        assert ours, theirs
        if architecture is MODEL_ARCH.GPT2 and theirs.endswith((".c_attn.weight", ".c_proj.weight", ".c_fc.weight")):
            values = values.T
        if architecture is MODEL_ARCH.GPTNEOX and ".query_key_value." in theirs:
            values = values.reshape(heads, 3, -1, *values.shape[1:]).swapaxes(0, 1).reshape(values.shape)
        if architecture in _NEIGHBOURS and ".q_proj." in theirs:
            values = neighbours(values, heads)
        if architecture in _NEIGHBOURS and ".k_proj." in theirs:
            values = neighbours(values, config.num_key_value_heads)
        if "gemma" in config.model_type and theirs.endswith("norm.weight"):
            values = values + 1
        found[ours] = np.ascontiguousarray(values)
    scaling = getattr(config, "rope_parameters", None) or {}
    if scaling.get("rope_type") == "llama3":
        found["rope_freqs.weight"] = llama3_factors(scaling, config.hidden_size // heads)
    for part in ("long", "short"):
        if f"{part}_factor" in scaling:
            found[f"rope_factors_{part}.weight"] = np.array(scaling[f"{part}_factor"], np.float32)
    return found


def _in_pieces(model: PreTrainedModel) -> Iterator[tuple[str, Array]]:
    """The tensors as the converter finds them: gates and ups of experts apart, norms of heads as one."""
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    for name, values in state.items():
        if name.endswith("experts.gate_up_proj"):
            for part, half in zip(("gate", "up"), np.split(values, 2, axis=1), strict=True):
                yield name.replace("gate_up_proj", f"{part}_proj.weight"), half
        elif name.endswith("experts.down_proj"):
            yield f"{name}.weight", values
        elif ".norms." not in name:
            yield name, values
        elif ".norms.0." in name:
            heads = [one for other, one in state.items() if other.startswith(name.partition(".norms.")[0])]
            yield name.replace(".norms.0", ""), np.stack(heads)


def neighbours(values: Array, heads: int) -> Array:
    """Channels that turn together side by side, as llama.cpp wants them in a Llama."""
    return values.reshape(heads, 2, -1, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)


def llama3_factors(scaling: dict[str, Any], head: int) -> Array:
    """What the converter writes for Llama 3.1: by how much each frequency is divided."""
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    context = scaling["original_max_position_embeddings"]
    factors = []
    for frequency in scaling["rope_theta"] ** -(np.arange(0, head, 2) / head):
        wavelength = 2 * np.pi / frequency
        if wavelength < context / high:
            factors.append(1.0)
        elif wavelength > context / low:
            factors.append(scaling["factor"])
        else:
            smooth = (context / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(factors, np.float32)


def add_tokenizer(
    writer: GGUFWriter,
    tokens: Sequence[str],
    types: Sequence[int],
    *,
    model: str,
    pre: str | None = None,
    merges: Sequence[str] | None = None,
    scores: Sequence[float] | None = None,
) -> None:
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(list(tokens))
    writer.add_token_types(list(types))
    if merges is not None:
        writer.add_token_merges(list(merges))
    if scores is not None:
        writer.add_token_scores(list(scores))


def write_vocabulary(path: Path, add: Callable[[GGUFWriter], object]) -> Path:
    """A file that has a tokenizer, and hardly a model."""
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_head_count(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_feed_forward_length(8)
    add(writer)
    writer.add_tensor("token_embd.weight", np.zeros((1, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


# Where the scales of a block lie, in bytes, and of what size they may be for weights of the usual size.
SCALES: dict[Kind, dict[int, float]] = {
    Kind.Q8_0: {0: 0.003},
    Kind.Q4_0: {0: 0.05},
    Kind.Q4_1: {0: 0.05, 2: 0.1},
    Kind.Q5_0: {0: 0.02},
    Kind.Q5_1: {0: 0.02, 2: 0.1},
    Kind.Q2_K: {80: 0.01, 82: 0.01},
    Kind.Q3_K: {108: 0.004},
    Kind.Q4_K: {0: 0.0006, 2: 0.002},
    Kind.Q5_K: {0: 0.0003, 2: 0.002},
    Kind.Q6_K: {208: 0.0001},
    Kind.IQ4_NL: {0: 0.003},
    Kind.IQ4_XS: {0: 0.0002},
    Kind.IQ1_S: {0: 0.02},
    Kind.IQ2_XXS: {0: 0.003},
    Kind.IQ2_XS: {0: 0.003},
    Kind.IQ2_S: {0: 0.003},
    Kind.IQ3_XXS: {0: 0.001},
    Kind.IQ3_S: {0: 0.002},
    Kind.TQ1_0: {52: 0.1},
    Kind.TQ2_0: {64: 0.1},
}


def random_blocks(shape: tuple[int, ...], kind: Kind) -> Array:
    """A matrix of any bits at all, but for scales of the usual size: (rows, bytes)."""
    random = np.random.default_rng(shape[0] * 7 + shape[1])
    values, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (shape[0], shape[1] // values, n_bytes), dtype=np.uint8)
    for at, size in SCALES[kind].items():
        scales = (random.standard_normal(blocks.shape[:2]) * size).astype("<f2")
        blocks[:, :, at : at + 2] = scales[..., None].view(np.uint8)
    return blocks.reshape(shape[0], -1)


def add_bpe(writer: GGUFWriter, tokenizer: Tokenizer, n: int = 0, pre: str = "gpt-2") -> None:
    """A byte-level tokenizer of the `tokenizers` library, filled up to n tokens."""
    added = tokenizer.get_added_tokens_decoder()
    texts = {token_id: text for text, token_id in tokenizer.get_vocab(with_added_tokens=True).items()}
    n = max(n, max(texts) + 1)
    tokens = [texts.get(token_id, f"[PAD{token_id}]") for token_id in range(n)]
    types = [
        (TokenType.CONTROL if added[token_id].special else TokenType.USER_DEFINED)
        if token_id in added
        else TokenType.NORMAL
        if token_id in texts
        else TokenType.UNUSED
        for token_id in range(n)
    ]
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    lines = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    add_tokenizer(writer, tokens, types, model="gpt2", pre=pre, merges=lines)


def add_tiny_tokenizer(writer: GGUFWriter, n: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        tiny.write_tokenizer(Path(folder))
        tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    add_bpe(writer, tokenizer, n)
