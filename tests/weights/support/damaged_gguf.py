"""Damaged GGUF files: cut, flipped, headers and metadata that lie, weights that are no numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.weights.support.damage import Damage, Good, write
from tests.weights.support.gguf_bytes import HOSTILE, HUGE, whole
from weights.gguf.header import Header, read_header

_FILE = "model.gguf"
_VALUES: tuple[Any, ...] = (
    *(0, 1, -1, 3, 2**31, 2**32 - 1, 2**63, HUGE * 2 - 1, 0.0, -1.5, float("nan"), float("inf"), 1e38, True),
    *("", "a word", "../../x", "\x1b[2J", [], [1], ["x"], [0.5] * 3, [True] * 2, [2**63]),
)


def damages(good: Good) -> Iterator[Damage]:
    content = good.read(f"gguf/{_FILE}")
    header = read_header(good.folder / "gguf" / _FILE)
    yield from _cut(good, content)
    yield from _flipped(good, content, header)
    for name, (hostile, _, _) in HOSTILE.items():
        yield Damage(kind="lying headers", name=name, model="gguf", change=write(_FILE, hostile))
    yield from _metadata(content, header)
    yield from _tensors(content, header)


def _cut(good: Good, content: bytes) -> Iterator[Damage]:
    for size in good.places(len(content), 80):
        yield Damage(kind="cut", name=f"gguf at {size}", model="gguf", change=write(_FILE, content[:size]), says=_FILE)


def _flipped(good: Good, content: bytes, header: Header) -> Iterator[Damage]:
    start = min(one.offset for one in header.tensors)
    for number in range(200):
        damaged = bytearray(content)
        for _ in range(good.dice.randint(1, 3)):
            at = good.dice.randrange(*((4, start) if number % 4 else (start, len(content))))
            damaged[at] ^= good.dice.choice((1, 16, 128, 255))
        yield Damage(
            kind="flipped", name=f"gguf near {at}", model="gguf", change=write(_FILE, bytes(damaged)), may_open=True
        )


Tensors = list[tuple[str, tuple[int, ...], int, bytes]]


def _described(content: bytes, header: Header) -> Tensors:
    return [
        (one.name, one.shape, int(one.kind), content[one.offset : one.offset + one.n_bytes]) for one in header.tensors
    ]


def _metadata(content: bytes, header: Header) -> Iterator[Damage]:
    """Every key gone, or with a value that is another or of another type."""
    tensors = _described(content, header)
    for name in header.metadata:
        for value in (..., *_VALUES):
            changed = dict(header.metadata) | {name: value}
            if value is ...:
                del changed[name]
            if value != header.metadata[name]:
                yield Damage(
                    kind="lying headers",
                    name=f"{name} = {value!r:.30}",
                    model="gguf",
                    change=write(_FILE, whole(changed, tensors)),
                    may_open=True,
                )


def _tensors(content: bytes, header: Header) -> Iterator[Damage]:
    tensors = _described(content, header)
    for at, (name, shape, kind, data) in enumerate(tensors):
        ways = {
            "missing": [],
            "one row less": [(name, (shape[0] - 1, *shape[1:]), kind, data[: len(data) // shape[0] * (shape[0] - 1)])],
            "one axis more": [(name, (1, *shape), kind, data)],
            "under another name": [(name + ".old", shape, kind, data)],
            "whole numbers": [(name, shape, 26, data)],  # I32
        }
        for way, instead in ways.items():
            changed = whole(header.metadata, [*tensors[:at], *instead, *tensors[at + 1 :]])
            yield Damage(
                kind="wrong shape",
                name=f"gguf {name}: {way}",
                model="gguf",
                change=write(_FILE, changed),
                may_open=name == "output.weight" and way == "missing",  # then the embedding serves as both
            )
        for value in (float("nan"), float("inf")):
            damaged = struct.pack("<f", value) + data[4:]
            changed = whole(header.metadata, [*tensors[:at], (name, shape, kind, damaged), *tensors[at + 1 :]])
            yield Damage(
                kind="not numbers", name=f"gguf {name}: {value}", model="gguf", change=write(_FILE, changed), says=name
            )
    big = whole(header.metadata, [*tensors, ("big", (2**28, 1024), 0, b"")])

    def grow(folder: Path) -> None:
        """A terabyte of holes."""
        with (folder / _FILE).open("wb") as file:
            file.write(big)
            file.truncate(2**40 + 2**20)

    yield Damage(kind="huge and odd sizes", name="gguf of a terabyte, all there", model="gguf", change=grow)
