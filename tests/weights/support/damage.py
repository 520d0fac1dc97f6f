"""What the damaged inputs have in common: what one is, and the undamaged models they are made from.

Must stay quick to import: the program that opens them (suffering.py) does so several times.
"""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file

Change = Callable[[Path], object]  # is given a copy of an undamaged model


@dataclass(frozen=True, kw_only=True)
class Damage:
    """One damaged input."""

    kind: str
    name: str
    model: str  # which of the undamaged ones it is made from: "directory", "shards" or "gguf"
    change: Change
    may_open: bool = False  # for the damage may be of no consequence, such as another letter in a name
    says: str = ""  # what the sentence must match


class Good:
    """The undamaged models: a directory, a directory with shards, a folder with model.gguf."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.dice = random.Random(0)

    def read(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def json(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.read(name))
        return found

    def tensors(self) -> dict[str, Any]:
        return load_file(self.folder / "directory" / "model.safetensors")

    def places(self, size: int, n: int) -> list[int]:
        """n places in a file, its first bytes and its last among them."""
        edges = {*range(min(12, size)), size - 1}
        return sorted(edges | set(self.dice.sample(range(size), min(size, max(0, n - len(edges))))))


def write(name: str, content: bytes) -> Change:
    return lambda folder: (folder / name).write_bytes(content)


def write_json(name: str, value: object) -> Change:
    return write(name, json.dumps(value).encode())


def safetensors(table: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A file with this header, which may say of itself to be of another length."""
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def with_key(table: dict[str, Any], path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    """A copy with another value deep inside; `...` takes the key away."""
    copied: Any = json.loads(json.dumps(table))
    inner = copied
    for step in path[:-1]:
        inner = inner[step]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copied  # type: ignore[no-any-return]


def paths_in(value: object, before: tuple[str | int, ...] = (), depth: int = 4) -> Iterator[tuple[str | int, ...]]:
    """Where something lies in a JSON object; of a long list or table the first few."""
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    for key, inner in items[:12] if len(items) < 40 else items[:3]:
        yield (*before, key)
        if depth:
            yield from paths_in(inner, (*before, key), depth - 1)
