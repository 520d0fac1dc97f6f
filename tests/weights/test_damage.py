"""More than a thousand damaged models: each is one clear sentence, soon, in little memory; or opens and speaks."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.weights.support import tiny, tiny_gguf
from tests.weights.support.damage import Damage, Good

ROOT = Path(__file__).parents[2]
GROUPS = ("damaged_directories", "damaged_names", "damaged_gguf", "damaged_tokenizers", "damaged_templates")
HANGS = 600  # seconds after which even the busiest machine has had 5 of its own for one input
MEGABYTES = 400  # that the program may have had at once, beside what undamaged models take
KINDS = {
    "cut": 250,
    "flipped": 400,
    "wrong shape": 200,
    "not numbers": 100,
    "shards": 50,
    "missing files": 15,
    "lying headers": 400,
    "huge and odd sizes": 300,
    "path tricks": 50,
    "pickles": 50,
    "broken tokenizers": 300,
    "broken templates": 15,
    "cyclic templates": 10,
    "endless templates": 50,
    "escaping templates": 300,
}


@dataclass(frozen=True)
class Outcome:
    """What became of one damaged input."""

    kind: str
    name: str
    found: dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Good:
    folder = tmp_path_factory.mktemp("good")
    for name, options in (("directory", {}), ("shards", {"max_shard_size": "30KB"})):
        tiny.write("llama", folder / name, **options)
        tiny.change_json(folder / name / "tokenizer_config.json", eos_token="<|im_end|>", bos_token="<|endoftext|>")
        tiny.change_json(folder / name / "generation_config.json", temperature=0.7, top_k=20)
    (folder / "gguf").mkdir()
    tiny_gguf.write("llama", folder / "gguf" / "model.gguf")
    return Good(folder)


def outcomes(group: str, good: Good) -> list[Outcome]:
    """Of every input of a group, in a program that is started again where one of them kills it."""
    found: list[Outcome] = []
    total = 1
    while len(found) < total:
        program = [
            sys.executable,
            "-m",
            "tests.weights.support.suffering",
            f"tests.weights.support.{group}",
            str(good.folder),
        ]
        done = subprocess.Popen([*program, str(len(found))], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            out, err = done.communicate(timeout=HANGS)
        except subprocess.TimeoutExpired:
            done.kill()
            out, err = done.communicate()
        lines = [json.loads(line) for line in out.splitlines()]
        assert lines, err.decode()[-2000:]
        total = lines[0]["of"]
        for begun, end in zip(lines[::2], [*lines[1::2], {"fault": _death(done.returncode, err)}], strict=False):
            found.append(Outcome(begun["kind"], begun["name"], end))
    return found


def _death(code: int, err: bytes) -> str:
    if code == -signal.SIGPROF:
        return "runs for more than 5 s"
    return f"ends the program ({code}): {err.decode()[-500:]}"


def wrong_with(outcome: Outcome, may_open: bool, says: str) -> str | None:
    found = outcome.found
    if "fault" in found:
        return str(found["fault"])
    if found["megabytes"] > MEGABYTES:
        return f"takes {found['megabytes']} MB"
    if "spoke" in found:
        return None if may_open else "opens and speaks"
    message, hint = found["message"], found["hint"]
    if not re.fullmatch(r"\S.*[.?]", message) or len(message) > 700:
        return f"is no sentence: {message}"
    if not f"{message} {hint}".isprintable() or not re.fullmatch(r"\S.*[.)?]", hint):
        return f"has no hint: {message} | {hint}"
    if not re.search(says, message):
        return f"does not say {says}: {message}"
    return None


@pytest.fixture(scope="module")
def counted() -> dict[str, Counter[str]]:
    """How many there are of each kind in the groups that were run in this process, which need not be all."""
    return {}


def damages_of(group: str, good: Good) -> list[Damage]:
    damages: list[Damage] = list(import_module(f"tests.weights.support.{group}").damages(Good(good.folder)))
    return damages


@pytest.mark.skipif(sys.platform == "win32", reason="limits what a process may use")
@pytest.mark.parametrize("group", GROUPS)
def test_each_is_one_clear_sentence(group: str, good: Good, counted: dict[str, Counter[str]]) -> None:
    damages = damages_of(group, good)
    counted[group] = Counter(damage.kind for damage in damages)
    found = outcomes(group, good)
    assert [(one.kind, one.name) for one in found] == [(one.kind, one.name) for one in damages]
    faults = []
    for damage, outcome in zip(damages, found, strict=True):
        if why := wrong_with(outcome, damage.may_open, damage.says):
            faults.append(f"{damage.kind}: {damage.name}\n    {why}")
    spoke = sum("spoke" in one.found for one in found)
    most = max(one.found.get("megabytes", 0) for one in found)  # it only grows
    print(f"{group}: {len(found)} inputs, {spoke} open and speak, {len(found) - spoke} refused, {most} MB more at most")
    assert not faults, f"{len(faults)} of {len(found)}:\n" + "\n".join(faults[:400])


def test_there_are_more_than_a_thousand_of_every_kind(good: Good, counted: dict[str, Counter[str]]) -> None:
    of_kind: Counter[str] = Counter()
    for group in GROUPS:
        of_kind += counted.get(group) or Counter(damage.kind for damage in damages_of(group, good))
    print(dict(of_kind))
    assert sum(of_kind.values()) >= 1000
    assert {kind: least for kind, least in KINDS.items() if of_kind[kind] < least} == {}
