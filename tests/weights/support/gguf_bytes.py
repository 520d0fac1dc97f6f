"""GGUF files byte by byte, true ones and ones that lie. Knows none of our readers but for what they should say."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from core.errors import BadCheckpoint, LogitscopeError, UnsupportedModel

HUGE = 2**63


def header(n_tensors: int, n_keys: int, *rest: bytes, version: int = 3) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", version, n_tensors, n_keys) + b"".join(rest)


def text(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<Q", len(value) if length is None else length) + value


def array(kind: int, count: int, rest: bytes = b"") -> bytes:
    return struct.pack("<IIQ", 9, kind, count) + rest


def tensor(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def entry(name: str, value: object) -> bytes:
    """A key of the metadata with a value, in the type that fits it."""
    return text(name.encode()) + _typed(value)


def whole(metadata: Mapping[str, object], tensors: Iterable[tuple[str, tuple[int, ...], int, bytes]]) -> bytes:
    """A file of tensors, each with its name, its shape (rows first), its type and its bytes."""
    described, data = b"", b""
    count = 0
    for name, shape, kind, content in tensors:
        described += tensor(name.encode(), shape[::-1], kind, len(data))
        data += content + bytes(-len(content) % 32)
        count += 1
    head = header(count, len(metadata), *(entry(*one) for one in metadata.items()), described)
    return head + bytes(-len(head) % 32) + data


def _typed(value: object) -> bytes:
    match value:
        case bool():
            return struct.pack("<I?", 7, value)
        case int():
            return struct.pack("<Iq", 11, value) if value < 0 else struct.pack("<IQ", 10, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + text(value.encode())
        case list():
            items = [_typed(one) for one in value]
            kind = struct.unpack("<I", items[0][:4])[0] if items else 4
            return array(kind, len(items), b"".join(one[4:] for one in items))
    raise TypeError(type(value))


HOSTILE: dict[str, tuple[bytes, type[LogitscopeError], str]] = {
    "no magic": (b"GGML" + bytes(100), BadCheckpoint, "not a GGUF file"),
    "nothing": (b"", BadCheckpoint, "not complete"),
    "version 1": (header(0, 0, version=1), UnsupportedModel, "version 1"),
    "big-endian": (header(0, 0, version=3 << 24), UnsupportedModel, "big-endian"),
    "huge number of keys": (header(0, HUGE), BadCheckpoint, "9,223,372,036,854,775,808 metadata keys"),
    "huge number of tensors": (header(HUGE, 0), BadCheckpoint, "9,223,372,036,854,775,808 tensors"),
    "huge text": (header(0, 1, text(b"", HUGE), bytes(20)), BadCheckpoint, "a text of 9,223,372,036,854,775,808 bytes"),
    "cut text": (header(0, 1, text(b"abc", 10_000), bytes(20)), BadCheckpoint, "in the middle of its header"),
    "huge list of numbers": (header(0, 1, text(b"a"), array(0, HUGE)), BadCheckpoint, "values of 'a'"),
    "huge list of texts": (header(0, 1, text(b"a"), array(8, HUGE)), BadCheckpoint, "values of 'a'"),
    "list of lists": (header(0, 1, text(b"a"), array(9, 1), bytes(30)), BadCheckpoint, "list of the unknown type 9"),
    "unknown type": (header(0, 1, text(b"a"), struct.pack("<I", 77)), BadCheckpoint, "unknown type 77"),
    "no UTF-8 in a key": (header(0, 1, text(b"\xff\xfe"), bytes(20)), BadCheckpoint, "not UTF-8"),
    "no UTF-8 in a value": (header(0, 1, text(b"a\n"), struct.pack("<I", 8), text(b"\xff")), BadCheckpoint, r"'a\n'"),
    "a key twice": (header(0, 2, (text(b"a") + struct.pack("<IB", 0, 1)) * 2), BadCheckpoint, "'a' twice"),
    "alignment 0": (
        header(0, 1, text(b"general.alignment"), struct.pack("<II", 4, 0)),
        BadCheckpoint,
        "general.alignment is 0",
    ),
    "many dimensions": (header(1, 0, text(b"t"), struct.pack("<I", 2**31), bytes(30)), BadCheckpoint, "dimensions"),
    "no rows": (header(1, 0, tensor(b"t", (0, 4), 0, 0)), BadCheckpoint, "shape (4, 0)"),
    "huge tensor": (header(1, 0, tensor(b"t", (2**40, 2**40), 0, 0)), BadCheckpoint, "not complete"),
    "broken blocks": (header(1, 0, tensor(b"t", (33, 4), 8, 0)), BadCheckpoint, "blocks of 32"),
    "unknown format": (header(1, 0, tensor(b"t", (32, 4), 999, 0)), UnsupportedModel, "type 999"),
    "a wrong place": (header(1, 0, tensor(b"t", (1,), 0, 4096)), BadCheckpoint, "at offset 4,096, where 0 is due"),
    "a tensor twice": (
        header(2, 0, tensor(b"t", (1,), 0, 0), tensor(b"t", (1,), 0, 32), bytes(99)),
        BadCheckpoint,
        "described twice",
    ),
    "no metadata": (header(1, 0, tensor(b"t", (1,), 0, 0), bytes(99)), BadCheckpoint, "no general.architecture"),
    "no weights": (header(0, 0, bytes(99)), UnsupportedModel, "holds no weights"),
}
