"""Damaged directories of the Hugging Face layout: what is in the files, and how large it says it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from tests.weights.support.damage import Change, Damage, Good, paths_in, safetensors, with_key, write, write_json

_JSON = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_NUMBERS = (0, -1, 2**31, 2**63, 2**64, 10**400, 1e308, 0.5, "7", None, [], {}, True, [[[]]])


def damages(good: Good) -> Iterator[Damage]:
    for kind in (_cut, _flipped, _shapes, _not_numbers, _shards, _headers, _sizes):
        yield from kind(good)


def _cut(good: Good) -> Iterator[Damage]:
    for name, n in ((_WEIGHTS, 60), ("config.json", 40), ("generation_config.json", 15), ("tokenizer_config.json", 15)):
        content = good.read(f"directory/{name}")
        for size in good.places(len(content), n):
            if not (name != _WEIGHTS and content[size:].strip() == b""):
                change = write(name, content[:size])
                yield Damage(kind="cut", name=f"{name} at {size}", model="directory", change=change, says=name)
    content = good.read(f"shards/{_INDEX}")
    for size in good.places(len(content.rstrip()), 20):
        yield Damage(
            kind="cut", name=f"index at {size}", model="shards", change=write(_INDEX, content[:size]), says=_INDEX
        )


def _flipped(good: Good) -> Iterator[Damage]:
    """Bits, bytes and runs of them."""
    for model, name, n in (
        *(("directory", _WEIGHTS, 130), ("directory", "config.json", 60), ("directory", "tokenizer_config.json", 20)),
        *(("directory", "generation_config.json", 20), ("shards", _INDEX, 40)),
    ):
        content = good.read(f"{model}/{name}")
        end = 4000 if name == _WEIGHTS and n % 2 == 0 else len(content)
        for number in range(n):
            damaged = bytearray(content)
            at = good.dice.randrange(end if number % 4 else len(content))
            for offset in range(good.dice.choice((1, 1, 1, 4))):
                damaged[min(at + offset, len(content) - 1)] ^= good.dice.choice((1, 16, 128, 255))
            yield Damage(
                kind="flipped", name=f"{name} near {at}", model=model, change=write(name, bytes(damaged)), may_open=True
            )


def edited(good: Good, change: Callable[[dict[str, Any]], object]) -> Change:
    def edit(folder: Path) -> None:
        tensors = good.tensors()
        change(tensors)
        save_file(tensors, folder / _WEIGHTS)

    return edit


def _shapes(good: Good) -> Iterator[Damage]:
    ways: dict[str, Callable[[Any], Any]] = {
        "one row less": lambda a: a[:-1],
        "one row more": lambda a: np.concatenate((a, a[:1])),
        "no rows": lambda a: a[:0],
        "one axis more": lambda a: a[None],
        "flat": lambda a: a.reshape(-1) if a.ndim > 1 else a.reshape(-1, 2),
        "one number": lambda a: a.reshape(-1)[0].reshape(()),
    }
    for name in good.tensors():
        for way, function in ways.items():
            change = edited(good, lambda t, name=name, f=function: t.update({name: np.ascontiguousarray(f(t[name]))}))
            yield Damage(kind="wrong shape", name=f"{name}: {way}", model="directory", change=change, says="shape|rows")


def _not_numbers(good: Good) -> Iterator[Damage]:
    for name in good.tensors():
        for value in (np.nan, np.inf, -np.inf):

            def edit(tensors: dict[str, Any], name: str = name, value: float = value) -> None:
                tensors[name] = tensors[name].copy()
                tensors[name].reshape(-1)[7] = value

            yield Damage(
                kind="not numbers", name=f"{name}: {value}", model="directory", change=edited(good, edit), says=name
            )
    for kind in (np.float16, np.float64):
        change = edited(good, lambda t, k=kind: t.update({"lm_head.weight": np.full((300, 32), np.nan, k)}))
        yield Damage(kind="not numbers", name=f"all, {kind}", model="directory", change=change, says="lm_head.weight")


def _shards(good: Good) -> Iterator[Damage]:
    names = sorted(path.name for path in (good.folder / "shards").glob("model-*.safetensors"))
    other = good.read("directory/tokenizer.json")
    ways: dict[str, Callable[[Path], object]] = {
        "missing": Path.unlink,
        "empty": lambda path: path.write_bytes(b""),
        "a directory": lambda path: (path.unlink(), path.mkdir()),
        "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nothing")),
        "a link to itself": lambda path: (path.unlink(), path.symlink_to(path.name)),
        "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
        "a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        "of text": lambda path: path.write_bytes(other),
        "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "without tensors": lambda path: path.write_bytes(safetensors({})),
        "the next one": lambda path: path.write_bytes(
            path.with_name(names[(names.index(path.name) + 1) % len(names)]).read_bytes()
        ),
    }
    for name in names:
        for way, function in ways.items():
            yield Damage(
                kind="shards",
                name=f"{name} is {way}",
                model="shards",
                change=lambda folder, f=function, name=name: f(folder / name),
                says="" if way in ("without tensors", "the next one") else name,
            )
    for name in good.tensors():
        change = edited(good, lambda tensors, name=name: tensors.pop(name))
        yield Damage(kind="shards", name=f"without {name}", model="directory", change=change, says=name)


def _headers(good: Good) -> Iterator[Damage]:
    """Of safetensors: what is said of a tensor, of all of them, of the header itself."""
    f32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    tables: list[object] = [{"a": f32 | {"dtype": kind}} for kind in ("F33", "", None, 32, "F4", "I64", "COMPLEX")]
    tables += [
        {"a": f32 | {"shape": shape}}
        for shape in ([3], [-2], [2**63], [2**62, 4], [2**64], [0], ["2"], "2", None, [1.5], [[2]], {}, [1] * 9999)
    ]
    tables += [
        {"a": f32 | {"data_offsets": place}}
        for place in ([8, 0], [4, 12], [0, 2**63], [2**63, 2**64], [-8, 0], [0], [0, 8, 8], "08", None, [0.0, 8.0])
    ]
    tables += [
        {"a": f32, "b": f32},
        {"a": f32, "b": f32 | {"data_offsets": [4, 12]}},
        {"a": f32, "b": f32 | {"data_offsets": [16, 24]}},
        *({"a": f32, "__metadata__": value} for value in (7, [], {"a": 1}, {"a": {}})),
        *({"a": value} for value in (7, [], None, "F32", {}, {"dtype": "F32"})),
        *([], None, 7, "a", [f32], {"": f32}, {"\x1b]0;x\x07": f32}, {"a" * 100_000: f32}),
    ]
    for number, table in enumerate(tables):
        content = safetensors(table, bytes(8))
        yield Damage(
            kind="lying headers", name=f"{number}: {table!r:.80}", model="directory", change=write(_WEIGHTS, content)
        )
    true = good.read(f"directory/{_WEIGHTS}")
    for length in (0, 1, 7, 2**20, 2**31, 2**40, 2**63, 2**64 - 1):
        content = length.to_bytes(8, "little") + true[8:]
        yield Damage(
            kind="lying headers", name=f"of {length} bytes", model="directory", change=write(_WEIGHTS, content),
            says=_WEIGHTS,
        )  # fmt: skip
    for text in (b"[" * 50_000, b'{"a":' * 50_000, b'{"a": NaN}', b'{"a":1,"a":2}', b"\xff" * 90, b" " * 99, b"{" * 9):
        content = len(text).to_bytes(8, "little") + text
        yield Damage(
            kind="lying headers", name=f"{text[:12]!r}", model="directory", change=write(_WEIGHTS, content),
            says=_WEIGHTS,
        )  # fmt: skip


def _sizes(good: Good) -> Iterator[Damage]:
    """Every number and word of the configs as another, impossible one; nesting; files of many gigabytes."""
    for name in ("config.json", "generation_config.json"):
        table = good.json(f"directory/{name}")
        table |= {"temperature": 1.0, "top_k": 9, "top_p": 0.9} if name.startswith("gen") else {"rope_scaling": {}}
        for path in paths_in(table):
            for value in _NUMBERS:
                yield Damage(
                    kind="huge and odd sizes",
                    name=f"{name} {path} = {value!r:.30}",
                    model="directory",
                    change=write_json(name, with_key(table, path, value)),
                    may_open=True,
                )
    for name in (*_JSON, "special_tokens_map.json"):
        for text in (b"[" * 200_000, b'{"a":' * 200_000 + b"1" + b"}" * 200_000, b'{"a": ' + b"9" * 10_000 + b"}"):
            yield Damage(
                kind="huge and odd sizes", name=f"{name}: {text[:9]!r}", model="directory", change=write(name, text),
                says=name,
            )  # fmt: skip
    for name in (*_JSON, "special_tokens_map.json", "chat_template.jinja", _WEIGHTS):
        yield Damage(
            kind="huge and odd sizes",
            name=f"{name} of 3 GB",
            model="directory",
            change=lambda folder, name=name: _grow(folder / name, 3 << 30),
            says=name,
        )
    for text in (b"[" + b"[]," * 3_000_000 + b"[]]", b'{"a":"' + b"x" * 9_000_000 + b'"}'):
        for name in ("config.json", "tokenizer_config.json"):
            yield Damage(
                kind="huge and odd sizes", name=f"{name}: 9 MB of {text[:6]!r}", model="directory",
                change=write(name, text), may_open=name != "config.json",
            )  # fmt: skip
    big = safetensors({"a": {"dtype": "F32", "shape": [2**38], "data_offsets": [0, 2**40]}})
    yield Damage(
        kind="huge and odd sizes",
        name="a tensor of a terabyte, all there",
        model="directory",
        change=lambda folder: ((folder / _WEIGHTS).write_bytes(big), _grow(folder / _WEIGHTS, 2**40 + len(big))),
    )


def _grow(path: Path, size: int) -> None:
    """By nothing but holes: it takes no room on the disk."""
    with path.open("ab") as file:
        file.truncate(size)
