"""A Hugging Face directory of ours becomes GGUF files for llama.cpp. Must not know what is measured.

The 16-bit file is written here, the quantised ones by llama.cpp's own quantiser, so they are what its users run: of a
q4_0 file the embedding, which unembeds too, is q6_K, or q8_0 where its rows are no multiple of 256 wide.
"""

from __future__ import annotations

import ctypes
import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import MODEL_ARCH, GGMLQuantizationType, GGUFReader, GGUFWriter
from numpy.typing import NDArray
from safetensors import safe_open
from tokenizers import Tokenizer

from tests.support.export_gguf import neighbours

KINDS = ("bf16", "q8_0", "q4_0")


def convert(folder: Path, target: Path) -> None:
    """Write a bf16 file, a tensor at a time: two of the biggest models do not fit in memory."""
    from tests.weights.support.tiny_gguf import (
        add_bpe,  # sets torch to one thread, which only the making of models bears
    )

    config = json.loads((folder / "config.json").read_text())
    architecture = MODEL_ARCH.QWEN2 if config["model_type"] == "qwen2" else MODEL_ARCH.LLAMA
    names = gguf.get_tensor_name_map(architecture, config["num_hidden_layers"])
    where: dict[str, str] = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    part = Path(f"{target}.part")
    writer = GGUFWriter(part, gguf.MODEL_ARCH_NAMES[architecture])
    _add_facts(writer, config)
    add_bpe(writer, Tokenizer.from_file(str(folder / "tokenizer.json")), config["vocab_size"])
    for theirs in where:
        values, kind = _stored(folder, theirs, where, config)
        name = names.get_name(theirs, (".weight", ".bias"))
        assert name, theirs
        writer.add_tensor_info(name, values.shape, values.dtype, values.nbytes, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for theirs in where:
        writer.write_tensor_data(_stored(folder, theirs, where, config)[0])
    writer.close()
    part.rename(target)


def quantise(source: Path, target: Path, kind: str) -> None:
    """As `llama-quantize source target kind`."""
    import llama_cpp

    silence()
    options = llama_cpp.llama_model_quantize_default_params()
    name = "LLAMA_FTYPE_ALL_F32" if kind == "f32" else f"LLAMA_FTYPE_MOSTLY_{kind.upper()}"
    options.ftype = getattr(llama_cpp, name)
    part = Path(f"{target}.part")
    if llama_cpp.llama_model_quantize(str(source).encode(), str(part).encode(), options) != 0:
        raise SystemExit(f"llama.cpp could not quantise {source} to {kind}")
    part.rename(target)


@cache
def silence() -> object:
    """llama.cpp tells nothing any more. The callback must live as long as it, so it is kept."""
    import llama_cpp

    @llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
    def silent(level: int, text: bytes, data: object) -> None:
        pass

    llama_cpp.llama_log_set(silent, ctypes.c_void_p())
    return silent


def weight_bytes(path: Path) -> int:
    """What is read for every token: all tensors, as the embedding unembeds too."""
    return sum(int(tensor.n_bytes) for tensor in GGUFReader(path).tensors)


def kinds_in(path: Path) -> str:
    """The formats of its matrices and how many there are of each, the embedding's by name."""
    tensors = [tensor for tensor in GGUFReader(path).tensors if len(tensor.shape) > 1]
    embedding = next(tensor for tensor in tensors if tensor.name == "token_embd.weight")
    others = Counter(tensor.tensor_type.name for tensor in tensors if tensor is not embedding)
    counts = ", ".join(f"{count} {name}" for name, count in others.items())
    return f"embedding {embedding.tensor_type.name}, {counts}"


def _add_facts(writer: GGUFWriter, config: dict[str, Any]) -> None:
    d_head = config["hidden_size"] // config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(d_head)
    writer.add_rope_freq_base(config["rope_theta"])


def _stored(
    folder: Path, name: str, where: dict[str, str], config: dict[str, Any]
) -> tuple[NDArray[Any], GGMLQuantizationType]:
    """Vectors in float32, matrices as the bytes of bf16, channels that turn together side by side in a Llama."""
    with safe_open(folder / where[name], framework="pt") as file:
        tensor = file.get_tensor(name)
    if tensor.ndim == 1:
        return tensor.float().numpy(), GGMLQuantizationType.F32
    values: NDArray[Any] = tensor.view(torch.uint8).numpy()
    if config["model_type"] == "llama" and name.endswith("q_proj.weight"):
        values = neighbours(values, config["num_attention_heads"])
    if config["model_type"] == "llama" and name.endswith("k_proj.weight"):
        values = neighbours(values, config["num_key_value_heads"])
    return np.ascontiguousarray(values), GGMLQuantizationType.BF16
