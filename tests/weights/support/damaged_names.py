"""Directories that are not what they look like: names that lead elsewhere, pickles under other names, no files."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.weights.support.damage import Damage, Good, with_key, write_json

_JSON = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
_WEIGHTS = "model.safetensors"
_INDEX = "model.safetensors.index.json"


def damages(good: Good) -> Iterator[Damage]:
    for kind in (_names, _pickles, _no_files):
        yield from kind(good)


def _names(good: Good) -> Iterator[Damage]:
    table = good.json(f"shards/{_INDEX}")
    for name in (
        *("../secret.safetensors", "/etc/secret.safetensors", "..\\secret.safetensors", "C:secret.safetensors"),
        *(
            "a/../../secret.safetensors",
            "./model-00001-of-00005.safetensors",
            "//host/x.safetensors",
            "~/x.safetensors",
        ),
        *(
            "",
            ".",
            "..",
            "x\0.safetensors",
            "x" * 300 + ".safetensors",
            "a.bin",
            "a.safetensors.bin",
            "\ud800.safetensors",
        ),
        *("\x1b[2J.safetensors", "a\nb.safetensors", "\u202e.safetensors", 7, None, [], {}, True, ["a.safetensors"]),
        *("file:///etc/passwd", "https://host/x.safetensors", "%2e%2e%2fx.safetensors", "con.safetensors"),
    ):
        change = write_json(_INDEX, with_key(table, ("weight_map", "lm_head.weight"), name))
        yield Damage(kind="path tricks", name=f"{name!r:.60}", model="shards", change=change)
    for target in ("/etc/passwd", "/etc", "/dev/zero", "/dev/full", "/proc/self/mem", "/proc/self/environ", "..", "."):
        for name in (_WEIGHTS, "tokenizer.json", "config.json", "chat_template.jinja"):

            def link(folder: Path, target: str = target, name: str = name) -> None:
                (folder / name).unlink(missing_ok=True)
                (folder / name).symlink_to(target)

            yield Damage(
                kind="path tricks", name=f"{name} -> {target}", model="directory", change=link,
                may_open=name == "chat_template.jinja",
            )  # fmt: skip


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (os.environ["BOMB"],)


def _pickles(good: Good) -> Iterator[Damage]:
    """As torch writes them now and formerly; never opened, whatever they are called."""
    for name in (
        *("pytorch_model.bin", "model.pt", "weights.pth", "model.ckpt", "consolidated.00.pth", "model.pkl"),
        *(_WEIGHTS, "tokenizer.json", "config.json", "tokenizer_config.json", "generation_config.json"),
        *("special_tokens_map.json", "chat_template.jinja", "model.gguf"),
    ):
        for protocol in (0, 2, 4, -1):

            def put(folder: Path, name: str = name, protocol: int = protocol) -> None:
                if name not in (*_JSON, "special_tokens_map.json", "chat_template.jinja"):
                    (folder / _WEIGHTS).unlink()
                if name == "model.gguf":
                    (folder / "config.json").unlink()
                content = pickle.dumps(Bomb(), max(protocol, 2) if protocol else 0)
                if protocol >= 0:
                    (folder / name).write_bytes(content)
                    return
                with zipfile.ZipFile(folder / name, "w") as archive:
                    archive.writestr("archive/data.pkl", content)

            yield Damage(
                kind="pickles", name=f"{name}, protocol {protocol}", model="directory", change=put,
                may_open=name == "chat_template.jinja" and protocol == 0,
            )  # fmt: skip


def _no_files(good: Good) -> Iterator[Damage]:
    """Something of the right name that is no file, or no file at all."""
    ways: dict[str, Callable[[Path], object]] = {
        "a directory": Path.mkdir,
        "a pipe": os.mkfifo,
        "a link to itself": lambda path: path.symlink_to(path.name),
        "not there": lambda path: None,
        "empty": Path.touch,
    }
    for name in ("config.json", "tokenizer.json", _WEIGHTS):
        for way, function in ways.items():
            yield Damage(
                kind="missing files",
                name=f"{name} is {way}",
                model="directory",
                change=lambda folder, f=function, name=name: ((folder / name).unlink(), f(folder / name)),
                says=name,
            )
