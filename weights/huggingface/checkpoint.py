"""A checkpoint on disk: its config, where its tensors lie, its tokenizer, its template. Names no family.

Everything here comes from strangers: sizes and types are checked, file names in an index cannot leave the directory,
and nothing is ever unpickled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from core.config import ModelConfig
from core.errors import BadCheckpoint, ModelNotFound
from core.text.tokenizer import Tokenizer
from weights.families import read_config
from weights.huggingface.safetensors_file import SafetensorsTensor, headers
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson, read_json, show
from weights.untrusted.file_names import PICKLE_SUFFIXES, is_plain_name
from weights.untrusted.hints import COPY_AGAIN
from weights.untrusted.text_file import read_text

SINGLE_FILE, INDEX_FILE = "model.safetensors", "model.safetensors.index.json"  # all weights, or which shard has which
_GIVE = "Give a GGUF file, or the directory that holds config.json and model.safetensors."
_LARGEST_TOKENIZER = 200_000_000  # bytes; a vocabulary of 262,000 takes 33 million
_LARGEST_INDEX = 50_000_000  # bytes; one of 92,000 tensors takes 9 million
_END_TOKENS = ("eos_token", "eot_token", "eom_token")


class Checkpoint:
    """A directory in the layout of the Hugging Face hub. Opening reads the config; the rest waits until asked for."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            ModelNotFound: there is no such directory, or no model in it.
            BadCheckpoint: its config.json is damaged.
        """
        if not os.path.isdir(folder):
            what = "is a file, not a directory" if os.path.isfile(folder) else "does not exist"
            raise ModelNotFound(f"{folder} {what}.", _GIVE)
        if not (folder / "config.json").is_file():
            raise ModelNotFound(f"{folder} holds no model: there is no config.json.", _hint_without_config(folder))
        self.folder = folder
        self.config: Mapping[str, object] = read_json(folder / "config.json")

    @property
    def path(self) -> Path:
        return self.folder

    @property
    def kind(self) -> str | None:
        """The family's name, as the config gives it."""
        kind = self.config.get("model_type")
        return kind if isinstance(kind, str) else None

    def read_config(self) -> tuple[Family, ModelConfig]:
        """
        Raises:
            UnsupportedModel, BadCheckpoint: see `families.read_config`.
        """
        return read_config(self.config)

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The safetensors files: one, or the shards that an index names.

        Raises:
            BadCheckpoint: there are none, or one is missing.
        """
        single, index = self.folder / SINGLE_FILE, self.folder / INDEX_FILE
        if single.is_file():
            return (single,)
        if not index.is_file():
            raise BadCheckpoint(f"{self.folder} has no model.safetensors.", _hint_without_weights(self.folder))
        return tuple(self.folder / name for name in sorted(set(weight_map(index).values())))

    @property
    def stated_context(self) -> int | None:
        return CheckedJson(self.config).stated_count("max_position_embeddings")

    @property
    def tensors(self) -> Mapping[str, SafetensorsTensor]:
        """Every tensor, by name. Reads the headers only.

        Raises:
            BadCheckpoint: a file is missing or damaged, or lacks a tensor that the index places in it.
        """
        return self._tensors

    stored = tensors

    @cached_property
    def _tensors(self) -> Mapping[str, SafetensorsTensor]:
        stored: dict[str, SafetensorsTensor] = {}
        for file in self.files:
            stored |= headers(file)
        if len(self.files) > 1:
            for name, file_name in weight_map(self.folder / INDEX_FILE).items():
                if name not in stored:
                    raise BadCheckpoint(f"{self.folder / file_name} lacks the tensor {show(name)}.", COPY_AGAIN)
        return stored

    @property
    def quantization(self) -> str | None:
        return None  # each tensor has its own number format, and no file sums them up

    @property
    def n_bytes(self) -> int:
        """Of all weight files together."""
        return sum(file.stat().st_size for file in self.files)

    @property
    def tokenizer_file(self) -> Path:
        """
        Raises:
            BadCheckpoint: there is none.
        """
        path = self.folder / "tokenizer.json"
        if not path.is_file():
            raise BadCheckpoint(
                f"{self.folder} has no tokenizer.json.",
                "Convert the old tokenizer once with transformers: "
                "AutoTokenizer.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY).",
            )
        return path

    def check_tokenizer(self) -> None:
        """
        Raises:
            BadCheckpoint: there is no tokenizer.json.
        """
        _ = self.tokenizer_file

    def read_tokenizer(self) -> Tokenizer:
        """
        Raises:
            BadCheckpoint: there is no tokenizer.json, or it is damaged.
        """
        file = self.tokenizer_file
        try:
            return Tokenizer.from_json(read_text(file, most=_LARGEST_TOKENIZER))
        except ValueError as error:
            raise BadCheckpoint(f"{file} is damaged: {error}.", COPY_AGAIN) from error

    @cached_property
    def tokenizer_config(self) -> CheckedJson:
        return self._optional("tokenizer_config.json")

    @property
    def generation_config(self) -> CheckedJson:
        return self._optional("generation_config.json")

    @property
    def specials(self) -> dict[str, str]:
        """The special tokens that a template may name: bos_token, eos_token ..."""
        tables = (self._optional("special_tokens_map.json"), self.tokenizer_config)
        return {name: text for table in tables for name, text in table.texts_ending_with("_token").items()}

    @property
    def end_tokens(self) -> frozenset[str]:
        """The texts of the tokens that its files say end a text, a turn or a message; files may disagree."""
        tables = (self._optional("special_tokens_map.json"), self.tokenizer_config)
        named = [table.texts_ending_with("_token") for table in tables]
        return frozenset(table[name] for table in named for name in _END_TOKENS if name in table)

    @property
    def template(self) -> str | None:
        """The chat template's source, from where the formats of several years keep it; None if there is none."""
        if (path := self.folder / "chat_template.jinja").is_file():
            return read_text(path)
        template = self.tokenizer_config.value("chat_template")
        if isinstance(template, list):  # several, by name
            named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, dict)}
            template = named.get("default", next(iter(named.values()), None))
        if template is not None and not isinstance(template, str):
            raise self.tokenizer_config.bad("chat_template", "a text, or a list of named ones")
        return template

    @property
    def end_ids(self) -> frozenset[int]:
        """The ids that its two configs say end a text; a model for pictures too has a config of its own for text."""
        keys = CheckedJson(self.config)
        tables = (keys, keys.table("text_config"), self.generation_config)
        ids = {token_id for table in tables if table is not None for token_id in table.ids("eos_token_id")}
        return frozenset(token_id for token_id in ids if token_id >= 0)

    @property
    def notes(self) -> tuple[str, ...]:
        keys = CheckedJson(self.config)
        size = keys.stated_count("vocab_size")
        wrong = (n for n in keys.ids("eos_token_id") if n < 0 or (size is not None and n >= size))
        return tuple(f"eos_token_id {n} is no token of the model: passed over." for n in wrong)

    def _optional(self, name: str) -> CheckedJson:
        path = self.folder / name
        return CheckedJson(read_json(path) if path.is_file() else {}, where=name)


def weight_map(index: Path) -> dict[str, str]:
    """Which shard holds which tensor, from an index; every shard is a plain name of a file beside it."""
    table = read_json(index, most=_LARGEST_INDEX).get("weight_map")
    if not isinstance(table, dict) or not table:
        raise BadCheckpoint(f"{index} is damaged: it has no weight_map.", COPY_AGAIN)
    for name in table.values():
        if not (isinstance(name, str) and name.endswith(".safetensors") and is_plain_name(name)):
            raise BadCheckpoint(f"{index} names {show(name)} as a file of weights.", "Do not trust this checkpoint.")
    return table


def _hint_without_config(folder: Path) -> str:
    if (folder / "adapter_config.json").is_file():
        return "It is an adapter: merge it into its base model and give that directory."
    return _GIVE


def _hint_without_weights(folder: Path) -> str:
    pickled = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLE_SUFFIXES)
    if pickled:
        return (
            f"{pickled[0]} is a pickle, which can run any code and is never opened. If you trust it, convert it once "
            "with transformers: AutoModelForCausalLM.from_pretrained(DIRECTORY).save_pretrained(DIRECTORY)."
        )
    return COPY_AGAIN
