"""The exported chat model becomes one file that llama.cpp opens: `python -m tests.support.export_gguf --type q8_0`.

Knows how GGUF writes down what llama.cpp calls the architecture "llama", nothing of how the model was trained. What
that architecture has no word for is refused, never left out.

Source: docs/gguf.md of ggml; src/llama-vocab.cpp and conversion/llama.py of llama.cpp.
"""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from gguf.constants import (
    GGML_QUANT_SIZES,
    GGML_QUANT_VERSION,
    GGMLQuantizationType,
    GGUFType,
    LlamaFileType,
    TokenType,
)
from gguf.gguf_writer import GGUFWriter
from gguf.quants import quantize
from gguf.utility import size_label
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.config import ModelConfig
from core.errors import BadCheckpoint, BadSetting, LogitscopeError, UnsupportedModel
from core.model import Model
from core.transformer import Transformer
from weights.gguf.config import NAMES
from weights.huggingface.checkpoint import Checkpoint
from weights.layout import Layout
from weights.library.names import find
from weights.load import load
from weights.recipe.export import BUNDLED
from weights.recipe.models import TURN_END
from weights.recipe.prepare import RUNS
from weights.untrusted.checked_json import show
from weights.untrusted.text_file import read_text

ARCHITECTURE = "llama"
NAME = "Logitscope chat"
LICENSE = "MIT"  # as an SPDX expression, which the specification asks for
TYPES = {
    "bf16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    "f16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
    "f32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
    "q8_0": (GGMLQuantizationType.Q8_0, LlamaFileType.MOSTLY_Q8_0),
}
WORDS = Layout(names=NAMES, prefix="", layer="blk.{}.")
# What a file of this architecture says of a model; in all else llama.cpp takes our defaults for granted.
SAID = {
    *("vocab_size", "context_length", "n_layers", "n_heads", "n_kv_heads", "d_model", "d_head", "d_ff"),
    *("norm_eps", "tied_embeddings", "rope", "theta"),
}
PRE_TOKENIZER = "smollm"  # llama.cpp's name for every digit alone, then GPT-2's regular expression
CUTTING: dict[str, object] = {  # what that name stands for, in the words of tokenizer.json
    "normalizer": None,
    "pre_tokenizer": {
        "type": "Sequence",
        "pretokenizers": [
            {"type": "Digits", "individual_digits": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        ],
    },
    "post_processor": None,
    "type": "BPE",
    "dropout": None,
    "unk_token": None,
    "continuing_subword_prefix": None,
    "end_of_word_suffix": None,
    "byte_fallback": False,
    "ignore_merges": False,
}
REACHING = ("single_word", "lstrip", "rstrip")  # how an added token may look beyond itself, here only
ANOTHER = "Give the directory of a chat model of ours."


def export(folder: Path, to: Path, kind: str) -> None:
    """Write the model in `folder` to the file `to`, its matrices as one of `TYPES`, its norms in float32.

    Raises:
        ModelNotFound, BadCheckpoint: see `weights.load.load`; or no token ends a reply.
        UnsupportedModel: llama.cpp would compute or cut up something else than we do.
        BadSetting: the file cannot be written.
    """
    model = load(folder, device="cpu", dtype="float32")
    refuse_other_models(model.transformer.config)
    writer = GGUFWriter(None, ARCHITECTURE)
    add_facts(writer, model, TYPES[kind][1])
    add_vocabulary(writer, Checkpoint(folder), model.transformer.config.vocab_size)
    add_tensors(writer, model.transformer, TYPES[kind][0])
    write(writer, to)


def refuse_other_models(config: ModelConfig) -> None:
    lost = [
        f"{one.name} {show(getattr(part, one.name))}"
        for part in (config, config.rope)
        for one in fields(part)
        if one.name not in SAID and getattr(part, one.name) != one.default
    ]
    if lost:
        raise UnsupportedModel(f'llama.cpp\'s architecture "{ARCHITECTURE}" has no word for {lost[0]}.', ANOTHER)


def add_facts(writer: GGUFWriter, model: Model, file_type: LlamaFileType) -> None:
    """What the file is, and every number of the config."""
    config = model.transformer.config
    writer.add_type(GGUFType.MODEL)
    writer.add_name(NAME)
    writer.add_license(LICENSE)
    writer.add_size_label(size_label(model.n_parameters, 0, 0, expert_count=0))
    writer.add_file_type(file_type)
    writer.add_quantization_version(GGML_QUANT_VERSION)
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.context_length)
    writer.add_block_count(config.n_layers)
    writer.add_embedding_length(config.d_model)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_head_count(config.n_heads)
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_key_length(config.d_head)
    writer.add_value_length(config.d_head)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_dimension_count(config.d_head)
    writer.add_rope_freq_base(config.rope.theta)


def add_vocabulary(writer: GGUFWriter, checkpoint: Checkpoint, n_rows: int) -> None:
    """Tokens with their types, merges, the ids with a meaning, the template; `n_rows` is the embedding's height."""
    backend = Tokenizer.from_str(read_text(checkpoint.tokenizer_file))
    state = json.loads(backend.to_str())  # in today's spelling, whichever the file has
    refuse_other_tokenizers(state)
    texts, types = tokens_of(state, n_rows)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(PRE_TOKENIZER)
    writer.add_token_list(texts)
    writer.add_token_types(types)
    writer.add_token_merges([" ".join(pair) for pair in state["model"]["merges"]])
    writer.add_add_space_prefix(False)
    add_marks(writer, checkpoint, backend)
    if checkpoint.template is not None:
        writer.add_chat_template(checkpoint.template)


def add_marks(writer: GGUFWriter, checkpoint: Checkpoint, backend: Tokenizer) -> None:
    """The ids with a meaning. A beginning has none: llama.cpp then calls token 11 so, but is told not to add it."""
    end, padding = (backend.token_to_id(checkpoint.specials.get(name, "")) for name in ("eos_token", "pad_token"))
    turn_end = backend.token_to_id(TURN_END)
    if end is None:
        raise BadCheckpoint(
            f"{checkpoint.folder} names no eos_token that its tokenizer.json knows.",
            "llama.cpp would end replies at a token of ordinary text.",
        )
    writer.add_add_bos_token(False)
    writer.add_eos_token_id(end)
    if turn_end is not None:
        writer.add_eot_token_id(turn_end)
    if padding is not None:
        writer.add_pad_token_id(padding)


def refuse_other_tokenizers(state: dict[str, Any]) -> None:
    said = state | state["model"]
    odd = [name for name, wanted in CUTTING.items() if said.get(name) != wanted]
    odd += [token["content"] for token in state["added_tokens"] if any(token[how] for how in REACHING)]
    if odd:
        raise UnsupportedModel(
            f'llama.cpp\'s pre-tokenizer "{PRE_TOKENIZER}" has another {show(odd[0])} than tokenizer.json.', ANOTHER
        )


def tokens_of(state: dict[str, Any], n_rows: int) -> tuple[list[str], list[TokenType]]:
    """The text and the type of every row of the embedding; there may be rows that no token has.

    Tokens added later may lie beyond the embedding, and are as unknown to llama.cpp then as they are here.
    """
    vocabulary: dict[str, int] = state["model"]["vocab"]
    if max(vocabulary.values()) >= n_rows:
        raise BadCheckpoint(f"tokenizer.json has a token {max(vocabulary.values())}, the embedding {n_rows} rows.")
    texts = [f"[PAD{row}]" for row in range(n_rows)]
    types = [TokenType.UNUSED] * n_rows
    for text, row in vocabulary.items():
        texts[row], types[row] = text, TokenType.NORMAL
    for token in state["added_tokens"]:
        if token["id"] < n_rows:
            texts[token["id"]] = token["content"]
            types[token["id"]] = TokenType.CONTROL if token["special"] else TokenType.USER_DEFINED
    return texts, types


def add_tensors(writer: GGUFWriter, transformer: Transformer, kind: GGMLQuantizationType) -> None:
    config, weights = transformer.config, transformer.state_dict()
    if config.tied_embeddings:
        del weights["head.weight"]  # llama.cpp takes the embedding where there is none
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    for name, weight in weights.items():
        values: NDArray[np.float32] = weight.numpy()
        if name.endswith("attention.query.weight"):
            values = neighbours(values, config.n_heads)
        if name.endswith("attention.key.weight"):
            values = neighbours(values, config.n_kv_heads)
        stored_as = GGMLQuantizationType.F32 if values.ndim == 1 else kind
        per_block = GGML_QUANT_SIZES[stored_as][0]
        if values.shape[-1] % per_block:
            raise UnsupportedModel(
                f"{stored_as.name} packs {per_block} values at a time, and the rows of {name} have {values.shape[-1]}.",
                "Choose another --type.",
            )
        stored = WORDS.locate(name, shapes, config).pieces[0]
        writer.add_tensor(stored.name, quantize(values, stored_as), raw_dtype=stored_as)


def neighbours(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Rows (heads * d_head, d_model) in another order within each head.

    We turn channel i with i + d_head / 2, as transformers does, llama.cpp 2i with 2i + 1, as the first Llama did.
    """
    halves = rows.reshape(heads, 2, -1, rows.shape[-1])  # (heads, 2, d_head / 2, d_model)
    return halves.swapaxes(1, 2).reshape(rows.shape)


def write(writer: GGUFWriter, to: Path) -> None:
    """All of it or nothing: a file cut short would open in no program, or worse, in some."""
    part = Path(f"{to}.part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        writer.write_header_to_file(part)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        part.replace(to)
    except OSError as error:
        writer.close()
        with suppress(OSError):
            part.unlink()
        raise BadSetting(f"{to} cannot be written: {error.strerror or error}.", "Give another file --to.") from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-directory", type=Path, default=BUNDLED, help="default: where export wrote it")
    parser.add_argument("--to", type=Path, help="default: logitscope-chat-TYPE.gguf in weights/recipe/runs")
    parser.add_argument("--type", choices=list(TYPES), default="bf16", help="of the matrices, default: as trained")
    asked = parser.parse_args()
    to: Path = asked.to or RUNS / f"logitscope-chat-{asked.type}.gguf"
    try:
        export(find(asked.model_directory), to, asked.type)
    except LogitscopeError as error:
        sys.exit(f"export_gguf: {error}")
    print(f"{to}: {to.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
