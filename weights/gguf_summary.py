"""What a GGUF file says of itself, for a listing: a few keys and the number of weights. Must not read a weight.

The layout is that of the GGUF specification (ggml, docs/gguf.md), versions 2 and 3. The file comes from a stranger:
every length is checked against the file before it is used, and the steps are counted.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

from core.errors import BadCheckpoint, UnsupportedModel
from weights.scan import quantisation_in

MAGIC = b"GGUF"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of a value, by its type
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT, _ARRAY = 8, 9
_MOST_STEPS = 4_000_000  # the largest vocabularies take one million
_MOST_KEYS = 4_096
_LONGEST_LIST = 1_024  # of numbers that are kept: one per layer
_LONGEST_TEXT = 10_000

_WANTED = (
    *("general.architecture", "general.file_type", ".context_length", ".block_count", ".embedding_length"),
    *(".attention.head_count", ".attention.head_count_kv", ".attention.key_length", ".attention.value_length"),
)

# general.file_type, the number format of most weights
_FILE_TYPES = (
    *("F32", "F16", "Q4_0", "Q4_1", None, None, None, "Q8_0", "Q5_0", "Q5_1", "Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L"),
    *("Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K", "IQ2_XXS", "IQ2_XS", "Q2_K_S", "IQ3_XS", "IQ3_XXS", "IQ1_S"),
    *("IQ4_NL", "IQ3_S", "IQ3_M", "IQ2_S", "IQ2_M", "IQ4_XS", "IQ1_M", "BF16"),
)


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What the listing shows; None for what the file does not say."""

    architecture: str | None
    quantisation: str | None
    context: int | None
    n_parameters: int
    cache_values: int | None  # numbers the KV cache holds per token


def is_gguf(path: Path) -> bool:
    """Whether a file is one, whatever it is called: Ollama's have no ending."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_summary(path: Path) -> Summary:
    """
    Raises:
        BadCheckpoint: it cannot be read, is damaged, or is not complete.
        UnsupportedModel: it is of a version not known here.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _read(_Cursor(data), path)
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read: {error.strerror}.") from error
    except (_Nonsense, ValueError) as error:  # a file of no bytes cannot be mapped
        raise BadCheckpoint(f"{path} is damaged or not complete.", "Copy or download it again.") from error


class _Nonsense(Exception):
    """The bytes are not what they should be."""


class _Cursor:
    """A place in the file."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self.at = 0
        self._steps = 0

    @property
    def size(self) -> int:
        return len(self._data)

    def skip(self, length: int) -> int:
        """Move on; returns where we were."""
        self._steps += 1
        before = self.at
        if length > len(self._data) - before or self._steps > _MOST_STEPS:
            raise _Nonsense
        self.at = before + length
        return before

    def number(self, kind: str) -> int:
        """An integer in the words of `struct`."""
        layout = struct.Struct("<" + kind)
        found: int = layout.unpack_from(self._data, self.skip(layout.size))[0]
        return found

    def text(self) -> str:
        length = self.number("Q")
        start = self.skip(length)
        return self._data[start : start + min(length, _LONGEST_TEXT)].decode("utf-8", "replace")

    def value(self, kind: int) -> object:
        """The value of a key. Lists of texts and long lists are passed over: None."""
        if kind == _TEXT:
            return self.text()
        if kind == _ARRAY:
            return self._list(self.number("I"), self.number("Q"))
        if kind not in _SIZES:
            raise _Nonsense
        return struct.unpack_from("<" + _FORMATS[kind], self._data, self.skip(_SIZES[kind]))[0]

    def _list(self, kind: int, length: int) -> object:
        if kind == _TEXT:
            for _ in range(min(length, _MOST_STEPS)):
                self.skip(self.number("Q"))
            return None
        if kind not in _SIZES:  # nobody nests lists
            raise _Nonsense
        start = self.skip(length * _SIZES[kind])
        if length > _LONGEST_LIST:
            return None
        return list(struct.unpack_from(f"<{length}{_FORMATS[kind]}", self._data, start))


def _read(cursor: _Cursor, path: Path) -> Summary:
    if cursor.size < len(MAGIC) or cursor.number("I") != int.from_bytes(MAGIC, "little"):
        raise BadCheckpoint(f"{path} is not a GGUF file.", "Give a directory with config.json, or a .gguf file.")
    version = cursor.number("I")
    if version not in (2, 3):
        raise UnsupportedModel(f"{path} is GGUF of version {version}.", "Versions 2 and 3 can be read.")
    n_tensors, n_keys = cursor.number("Q"), cursor.number("Q")
    keys: dict[str, object] = {}
    if n_keys > _MOST_KEYS:
        raise _Nonsense
    for _ in range(n_keys):
        name = cursor.text()
        value = cursor.value(cursor.number("I"))
        if name.endswith(_WANTED):
            keys[name] = value
    n_parameters = sum(_tensor(cursor) for _ in range(n_tensors))
    return _summed_up(keys, n_parameters, path)


def _tensor(cursor: _Cursor) -> int:
    """How many values the next tensor has."""
    cursor.skip(cursor.number("Q"))  # its name
    n_axes = cursor.number("I")
    if n_axes > 4:
        raise _Nonsense
    shape = [cursor.number("Q") for _ in range(n_axes)]
    cursor.number("I")  # its type
    if cursor.number("Q") >= cursor.size:  # where it begins
        raise _Nonsense
    return prod(shape)


def _summed_up(keys: Mapping[str, object], n_parameters: int, path: Path) -> Summary:
    architecture = keys.get("general.architecture")
    known = architecture if isinstance(architecture, str) else None
    return Summary(
        architecture=known,
        quantisation=quantisation_in(path.name) or _quantisation(keys.get("general.file_type")),
        context=_count(keys.get(f"{known}.context_length")),
        n_parameters=n_parameters,
        cache_values=_cache_values(keys, f"{known}."),
    )


def _quantisation(file_type: object) -> str | None:
    if type(file_type) is not int or not 0 <= file_type < len(_FILE_TYPES):
        return None
    return _FILE_TYPES[file_type]


def _cache_values(keys: Mapping[str, object], prefix: str) -> int | None:
    layers, width = _count(keys.get(f"{prefix}block_count")), _count(keys.get(f"{prefix}embedding_length"))
    heads = _count(keys.get(f"{prefix}attention.head_count"))
    if not layers or not heads or not width:
        return None
    key = _count(keys.get(f"{prefix}attention.key_length")) or width // heads
    value = _count(keys.get(f"{prefix}attention.value_length")) or width // heads
    shared = keys.get(f"{prefix}attention.head_count_kv", heads)
    per_layer = shared if isinstance(shared, list) else [shared] * min(layers, _LONGEST_LIST)
    return sum(_count(n) or 0 for n in per_layer) * (key + value)


def _count(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None
