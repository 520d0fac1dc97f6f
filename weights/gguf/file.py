"""A GGUF file, or all the files of a split one, seen as a model. Knows no architecture."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from gguf.constants import LlamaFileType

from core.config import ModelConfig
from core.errors import BadCheckpoint, UnsupportedModel
from core.text.tokenizer import Tokenizer
from weights.gguf.config import Description, describe
from weights.gguf.header import Header, read_header
from weights.gguf.names import quantization_in
from weights.gguf.tensor import GgufTensor
from weights.gguf.tokenizer import Vocabulary
from weights.layout import Layout
from weights.untrusted.checked_json import CheckedJson, show

_ROTATED = re.compile(r"blk\.\d+\.attn_([qk])\.(weight|bias)")
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")
_MAX_PARTS = 1000


# How the makers of a model sample from it: the names of generation_config.json, from which the converter has them, and
# llama.cpp's. Its penalties are of another kind.
_SAMPLING = {"temperature": "temp", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}


class GgufFile:
    """One model in llama.cpp's format. Opening reads the headers; the rest waits until asked for."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: of the file; of any one of them, if there are several.

        Raises:
            BadCheckpoint: a file is missing, cut or damaged.
            UnsupportedModel: it is of a version, or has tensors of a type, not known here; or it is no model.
        """
        self.path = path
        first = read_header(path)
        self.files = _parts(path, CheckedJson(first.metadata, where=path.name))
        headers = [first if file == path else read_header(file) for file in self.files]
        self._metadata = headers[0].metadata
        self.metadata = CheckedJson(self._metadata, where=path.name)
        self.metadata.only("general.type", (None, "model"))
        self.stored = _joined(self.files, headers)
        self._check_parts(headers)

    @property
    def kind(self) -> str | None:
        kind = self.metadata.value("general.architecture")
        return kind if isinstance(kind, str) else None

    @property
    def quantization(self) -> str | None:
        """By the file's name, which tells more where there are mixtures of a maker's own, then by its metadata."""
        return quantization_in(self.path.name) or _file_type(self.metadata.value("general.file_type"))

    @property
    def stated_context(self) -> int | None:
        return self.metadata.stated_count(f"{self.kind}.context_length")

    @property
    def n_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.files)

    @property
    def tensors(self) -> Mapping[str, GgufTensor]:
        """Every tensor, by name."""
        return self._tensors

    @cached_property
    def _tensors(self) -> Mapping[str, GgufTensor]:
        config = self._description.config
        if not self._description.interleaved:
            return self.stored
        return {
            name: _interleaved(tensor, config.d_head) if _ROTATED.fullmatch(name) else tensor
            for name, tensor in self.stored.items()
        }

    def read_config(self) -> tuple[Layout, ModelConfig]:
        """
        Raises:
            UnsupportedModel, BadCheckpoint: see `weights.gguf.config.describe`.
        """
        return self._description.layout, self._description.config

    def check_tokenizer(self) -> None:
        self._vocabulary.check()

    def read_tokenizer(self) -> Tokenizer:
        """
        Raises:
            UnsupportedModel: it is of a kind that would cut texts in another way than is known here.
            BadCheckpoint: it is missing, or contradicts itself.
        """
        return self._vocabulary.tokenizer()

    @property
    def template(self) -> str | None:
        template = self.metadata.value("tokenizer.chat_template")
        if template is not None and not isinstance(template, str):
            raise self.metadata.bad("tokenizer.chat_template", "a text")
        return template or None

    @property
    def specials(self) -> Mapping[str, str]:
        return self._vocabulary.specials

    @property
    def end_ids(self) -> frozenset[int]:
        return self._vocabulary.end_ids

    @property
    def end_tokens(self) -> frozenset[str]:
        return frozenset()  # the ids are there

    @property
    def notes(self) -> tuple[str, ...]:
        return self._vocabulary.notes

    @property
    def generation_config(self) -> CheckedJson:
        """Numbers are of single precision here: 0.6 is 0.60000002, and 0.6 is what was meant."""
        stored = {name: self.metadata.value(f"general.sampling.{key}") for name, key in _SAMPLING.items()}
        meant = {name: float(f"{value:.7g}") if isinstance(value, float) else value for name, value in stored.items()}
        return CheckedJson(meant, where=self.path.name)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self.metadata)

    @cached_property
    def _description(self) -> Description:
        shapes = {name: tensor.shape for name, tensor in self.stored.items()}
        return describe(self._metadata, shapes, self._rope_factors)

    def _rope_factors(self, name: str) -> tuple[float, ...]:
        tensor = self.stored[name]
        if len(tensor.shape) != 1 or not tensor.is_float or tensor.n_values > 4096:
            raise BadCheckpoint(f"The tensor {name} has the shape {tensor.shape}.", "Download the file again.")
        return tuple(tensor.read().tolist())

    def _check_parts(self, headers: list[Header]) -> None:
        for number, (file, header) in enumerate(zip(self.files, headers, strict=True)):
            stated = (header.metadata.get("split.no", 0), header.metadata.get("split.count", 1) or 1)
            if stated != (number, len(self.files)):
                raise BadCheckpoint(
                    f"{file} says that it is part {stated[0]} of {stated[1]}, counted from 0.",
                    "Its name says otherwise.",
                )
        total = self.metadata.value("split.tensors.count")
        if total is not None and len(self.files) > 1 and total != len(self.stored):
            raise BadCheckpoint(
                f"{self.path} tells of {total} tensors, and its files have {len(self.stored)}.",
                "The files are of different models.",
            )


def _parts(path: Path, metadata: CheckedJson) -> tuple[Path, ...]:
    """All files of the model that this one belongs to, in order."""
    count = metadata.count("split.count", 1, least=0)
    if count <= 1:
        return (path,)
    name = _PART.fullmatch(path.name)
    if name is None or int(name[3]) != count or count > _MAX_PARTS:
        raise BadCheckpoint(
            f"{path} is one of {count:,} files that together are a model, and its name does not say which.",
            f"They should be called NAME-00001-of-{count:05}.gguf and so on.",
        )
    files = tuple(path.with_name(f"{name[1]}-{number:05}-of-{name[3]}.gguf") for number in range(1, count + 1))
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise BadCheckpoint(f"{missing[0]}{more} is missing beside {path}.", "Download all files of a split model.")
    return files


def _file_type(number: object) -> str | None:
    """Such as Q4_K_M: the mixture of formats that a quantizer was told to make."""
    if type(number) is not int:
        return None
    try:
        kind = LlamaFileType(number)
    except ValueError:
        return None
    return None if kind is LlamaFileType.GUESSED else kind.name.partition("_")[2]


def _joined(files: tuple[Path, ...], headers: list[Header]) -> dict[str, GgufTensor]:
    joined: dict[str, GgufTensor] = {}
    for file, header in zip(files, headers, strict=True):
        for info in header.tensors:
            if info.name in joined:
                raise BadCheckpoint(
                    f"The tensor {show(info.name)} is in {joined[info.name].file} and again in {file}.",
                    "The files are of different models.",
                )
            joined[info.name] = GgufTensor(
                file=file, name=info.name, shape=info.shape, kind=info.kind, offset=info.offset
            )
    if not joined:
        raise UnsupportedModel(f"{files[0]} holds no weights.", "It is a vocabulary alone, or no model.")
    return joined


def _interleaved(tensor: GgufTensor, d_head: int) -> GgufTensor:
    if d_head % 2 or tensor.shape[0] % d_head:
        raise BadCheckpoint(
            f"The tensor {tensor.name} has {tensor.shape[0]} rows, which are no heads of {d_head} channels.",
            "The metadata and the weights are of different models.",
        )
    return GgufTensor(**{**vars(tensor), "interleaved": d_head})
