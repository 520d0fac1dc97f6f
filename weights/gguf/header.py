"""The header of a GGUF file: its metadata, and where its tensors lie. Knows no architecture, no tokenizer and no torch.

The file comes from a stranger, and every count in it is a claim. Each is held against what is left of the file, and
all of them together against what a real model needs, before anything is allocated or looped over. That is why the
header is walked here and not by `gguf.GGUFReader`, which believes the counts; the meaning of the numbers is gguf's.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFValueType

from core.errors import BadCheckpoint, UnsupportedModel
from weights.untrusted.checked_json import show
from weights.untrusted.hints import COPY_AGAIN

MAGIC = b"GGUF"
_MAX_VALUES = 12_000_000  # numbers in all lists together; a text counts for four
_MAX_TEXT = 256_000_000  # bytes of all texts together
_MAX_KEYS = 100_000  # keys, and tensors
_MAX_DIMENSIONS = 4

_V = GGUFValueType
_NUMBERS: Mapping[int, struct.Struct] = {
    kind: struct.Struct("<" + code)
    for kind, code in (
        *((_V.UINT8, "B"), (_V.INT8, "b"), (_V.UINT16, "H"), (_V.INT16, "h"), (_V.UINT32, "I"), (_V.INT32, "i")),
        *((_V.UINT64, "Q"), (_V.INT64, "q"), (_V.FLOAT32, "f"), (_V.FLOAT64, "d"), (_V.BOOL, "?")),
    )
}


@dataclass(frozen=True, kw_only=True)
class TensorInfo:
    """A tensor as the header describes it; it is known to lie inside the file."""

    name: str
    shape: tuple[int, ...]  # rows first, as in torch; the file says it the other way round
    kind: GGMLQuantizationType
    offset: int  # in the file
    n_bytes: int


@dataclass(frozen=True, kw_only=True)
class Header:
    metadata: Mapping[str, object]  # numbers, texts, truths, and lists of them
    tensors: tuple[TensorInfo, ...]


class HeaderStillComing(Exception):
    """The file is on its way, and its header is not here as a whole."""


def read_header(path: Path, *, size: int | None = None) -> Header:
    """
    Args:
        size: of the whole file in bytes, if only its beginning may be here.

    Raises:
        BadCheckpoint: it is no GGUF file, or cut, or claims what cannot be.
        UnsupportedModel: it is of a version, or has tensors of a type, not known here.
        HeaderStillComing: more of it is needed, and belongs to the size that was given.
    """
    try:
        with path.open("rb") as file:
            return _Walk(file, path, size).header()
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read: {error.strerror}.", COPY_AGAIN) from error


class _Walk:
    """One walk through a file, from its first byte to the end of the header."""

    def __init__(self, file: BinaryIO, path: Path, size: int | None) -> None:
        self._file, self._path = file, path
        self._is_coming = size is not None
        self._size = path.stat().st_size if size is None else size
        self._at = 0
        self._values_left, self._text_left = _MAX_VALUES, _MAX_TEXT

    def header(self) -> Header:
        self._check_beginning()
        n_tensors, n_keys = self._count("tensors", least_bytes=24), self._count("metadata keys", least_bytes=13)
        metadata: dict[str, object] = {}
        for _ in range(n_keys):
            name = self._text("a metadata key")
            if name in metadata:
                raise self._damaged(f"it has {show(name)} twice")
            metadata[name] = self._value(self._number(_V.UINT32), name)
        described = [self._tensor() for _ in range(n_tensors)]
        return Header(metadata=metadata, tensors=self._placed(described, metadata))

    def _check_beginning(self) -> None:
        if self._take(4) != MAGIC:
            raise BadCheckpoint(f"{self._path} is not a GGUF file.", "Its first four bytes should be GGUF.")
        version = self._number(_V.UINT32)
        if version in (2 << 24, 3 << 24):
            raise UnsupportedModel(f"{self._path} is a big-endian GGUF file.", "Download the usual, little-endian one.")
        if version not in (2, 3):
            raise UnsupportedModel(f"{self._path} is GGUF version {version}.", "Versions 2 and 3 can be read.")

    def _count(self, what: str, *, least_bytes: int) -> int:
        """How many of these follow, each of at least so many bytes."""
        count = self._number(_V.UINT64)
        if count > min(_MAX_KEYS, self._size // least_bytes):
            raise self._overclaims(f"{count:,} {what}")
        return count

    def _value(self, kind: int, name: str) -> object:
        if kind == _V.STRING:
            return self._text(show(name))
        if kind == _V.ARRAY:
            return self._list(name)
        if kind not in _NUMBERS:
            raise self._damaged(f"{show(name)} is of the unknown type {kind}")
        return self._number(kind)

    def _list(self, name: str) -> list[object]:
        kind, count = self._number(_V.UINT32), self._number(_V.UINT64)
        if kind != _V.STRING and kind not in _NUMBERS:
            raise self._damaged(f"{show(name)} is a list of the unknown type {kind}")
        least, cost = (8, 4) if kind == _V.STRING else (_NUMBERS[kind].size, 1)
        if count > min(self._values_left // cost, (self._size - self._at) // least):
            raise self._overclaims(f"{count:,} values of {show(name)}")
        self._values_left -= count * cost
        if kind == _V.STRING:
            what = show(name)
            return [self._text(what) for _ in range(count)]
        numbers: list[object] = np.frombuffer(self._take(count * least), _NUMBERS[kind].format).tolist()
        return numbers

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        """Name, shape, type, offset in the data."""
        name = self._text("a tensor's name")
        n_dimensions = self._number(_V.UINT32)
        if not 1 <= n_dimensions <= _MAX_DIMENSIONS:
            raise self._damaged(f"the tensor {show(name)} has {n_dimensions} dimensions")
        shape = tuple(self._number(_V.UINT64) for _ in range(n_dimensions))[::-1]
        return name, shape, self._number(_V.UINT32), self._number(_V.UINT64)

    def _placed(
        self, described: list[tuple[str, tuple[int, ...], int, int]], metadata: Mapping[str, object]
    ) -> tuple[TensorInfo, ...]:
        """The tensors with their places. They lie one after another, each at the next multiple of the alignment."""
        alignment = metadata.get("general.alignment", 32)
        if type(alignment) is not int or not 1 <= alignment <= 1 << 20 or alignment % 8:
            raise self._damaged(f"its general.alignment is {show(alignment)}")
        start = _rounded_up(self._at, alignment)
        expected = 0
        placed: dict[str, TensorInfo] = {}
        for name, shape, number, offset in described:
            kind, n_bytes = self._type_and_size(name, shape, number)
            if name in placed or offset != expected:
                what = "described twice" if name in placed else f"at offset {offset:,}, where {expected:,} is due"
                raise self._damaged(f"the tensor {show(name)} is {what}")
            if start + offset + n_bytes > self._size:
                raise BadCheckpoint(
                    f"{self._path} is not complete: the tensor {show(name)} ends at byte {start + offset + n_bytes:,}, "
                    f"the file at {self._size:,}.",
                    COPY_AGAIN,
                )
            placed[name] = TensorInfo(name=name, shape=shape, kind=kind, offset=start + offset, n_bytes=n_bytes)
            expected = _rounded_up(offset + n_bytes, alignment)
        return tuple(placed.values())

    def _type_and_size(self, name: str, shape: tuple[int, ...], number: int) -> tuple[GGMLQuantizationType, int]:
        try:
            kind = GGMLQuantizationType(number)
        except ValueError as error:
            raise UnsupportedModel(
                f"The tensor {show(name)} of {self._path} is of type {number}, which is not known here.",
                "Choose a file in another format, such as Q4_K_M or Q8_0.",
            ) from error
        block, n_bytes = GGML_QUANT_SIZES[kind]
        if 0 in shape or shape[-1] % block:
            raise self._damaged(f"the tensor {show(name)} has the shape {shape} in blocks of {block}")
        return kind, prod(shape) // block * n_bytes

    def _text(self, what: str) -> str:
        length = self._number(_V.UINT64)
        if length > self._text_left:
            raise self._overclaims(f"a text of {length:,} bytes for {what}")
        self._text_left -= length
        try:
            return self._take(length).decode()
        except UnicodeDecodeError as error:
            raise self._damaged(f"{what} is not UTF-8 text") from error

    def _number(self, kind: int) -> int:
        """Of any type of number; the header's own are whole ones."""
        form = _NUMBERS[kind]
        return form.unpack(self._take(form.size))[0]  # type: ignore[no-any-return]

    def _take(self, n_bytes: int) -> bytes:
        content = self._file.read(n_bytes) if n_bytes <= self._size - self._at else b""
        if len(content) < n_bytes:
            if self._is_coming and n_bytes <= self._size - self._at:
                raise HeaderStillComing
            raise BadCheckpoint(
                f"{self._path} is not complete: it ends in the middle of its header ({self._size:,} bytes).", COPY_AGAIN
            )
        self._at += n_bytes
        return content

    def _overclaims(self, what: str) -> BadCheckpoint:
        """What a file that broke off says just as one that lies."""
        return BadCheckpoint(
            f"{self._path} is damaged or not complete: in {self._size:,} bytes it claims {what}.", COPY_AGAIN
        )

    def _damaged(self, what: str) -> BadCheckpoint:
        return BadCheckpoint(f"{self._path} is damaged: {what}.", COPY_AGAIN)


def _rounded_up(position: int, step: int) -> int:
    return -(-position // step) * step
