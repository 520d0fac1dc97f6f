"""Names of models and the directories they stand for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from core.errors import ModelNotFound
from tests.weights.support import tiny
from weights.library import names, paths
from weights.library.listing import listing
from weights.library.names import find
from weights.load import load
from weights.text_side import load_tokenizer


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache, no model in the package, nothing of other programs."""
    for variable in ("HOME", "LOGITSCOPE_DATA", "OLLAMA_MODELS"):
        monkeypatch.setenv(variable, str(tmp_path / "empty"))
    monkeypatch.delenv("LOGITSCOPE_MODELS", raising=False)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(paths, "package_folders", list)
    monkeypatch.setattr(names, "_SHIPPED", {name: tmp_path / "package" / name for name in ("bundled", "textbook")})
    return tmp_path / "hub"


def put(cache: Path, case: str, repo: str, revision: str = "abc123") -> Path:
    """A checkpoint in the cache as huggingface_hub lays it out: files are links to blobs."""
    home = cache / f"models--{repo.replace('/', '--')}"
    snapshot = home / "snapshots" / revision
    tiny.write(case, snapshot)
    (home / "blobs").mkdir(exist_ok=True)
    for file in snapshot.iterdir():
        blob = home / "blobs" / f"{revision}-{file.name}"
        file.rename(blob)
        file.symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


def test_an_empty_machine(cache: Path) -> None:
    assert listing() == []
    with pytest.raises(ModelNotFound, match="bundled does not exist"):
        load("bundled")


def test_the_two_in_the_package(cache: Path) -> None:
    folder = tiny.write("gpt2", cache.parent / "package" / "textbook")
    assert find("textbook") == folder
    assert [(entry.name, entry.family, entry.problem) for entry in listing()] == [("textbook", "gpt2", None)]
    assert load("textbook", device="cpu").name == "textbook"


def test_the_cache_of_hugging_face(cache: Path) -> None:
    snapshot = put(cache, "llama", "somebody/tiny-Llama")
    for name in ("somebody/tiny-Llama", "SomeBody/tiny-llama"):
        assert find(name) == snapshot
    model = load("somebody/tiny-Llama", device="cpu")
    assert model.name == "somebody/tiny-Llama"
    assert load_tokenizer("somebody/tiny-Llama").encode("the cat") == model.tokenizer.encode("the cat")


def test_the_revision_that_main_stands_for(cache: Path) -> None:
    put(cache, "llama", "a/b", "old")
    put(cache, "gpt2", "a/b", "new")
    refs = cache / "models--a--b" / "refs"
    refs.mkdir()
    for revision in ("old", "new"):
        (refs / "main").write_text(revision)
        assert find("a/b").name == revision


@pytest.mark.parametrize(
    ("variable", "folder"),
    [
        ("HF_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
        ("HOME", ".cache/huggingface/hub"),
    ],
)
def test_where_the_cache_may_be(
    variable: str, folder: str, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for other in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "there"))
    snapshot = put(tmp_path / "there" / folder, "llama", "a/b")
    assert find("a/b") == snapshot


def test_the_listing_counts_what_transformers_counts(cache: Path) -> None:
    for n, case in enumerate(("llama", "llama, all biases, tied", "gemma2", "phi3", "gpt2")):
        put(cache, case, f"a/{n}")
    for entry in listing():
        folder = find(entry.name)
        reference = tiny.reference(folder)
        assert entry.parameters == reference.num_parameters()
        assert entry.parameters == load(folder, device="cpu").n_parameters
        assert entry.context == 128
        assert entry.family == reference.config.model_type
        assert entry.bytes == (folder / "model.safetensors").stat().st_size
        assert entry.problem is None
        assert entry.path == folder


def test_the_listing_says_why_a_model_cannot_be_opened(cache: Path) -> None:
    problems = {
        "a/1-kind": lambda folder: tiny.change_json(folder / "config.json", model_type="mamba"),
        "a/2-weights": lambda folder: (folder / "model.safetensors").unlink(),
        "a/3-cut": lambda folder: (folder / "model.safetensors").write_bytes(b"cut"),
        "a/4-json": lambda folder: (folder / "config.json").write_text("{"),
        "a/5-tokens": lambda folder: (folder / "tokenizer.json").unlink(),
    }
    for repo, spoil in problems.items():
        spoil(put(cache, "llama", repo))
    entries = {entry.name: entry for entry in listing()}
    said = {name: entry.problem or "" for name, entry in entries.items()}
    assert "'mamba'" in said["a/1-kind"]
    told = entries["a/1-kind"]
    assert (told.family, told.context, told.quantization) == ("mamba", 128, "F32")
    assert told.parameters == tiny.random_model("llama").num_parameters()
    assert "has no model.safetensors" in said["a/2-weights"]
    assert "damaged or not complete" in said["a/3-cut"]
    assert "not JSON" in said["a/4-json"]
    assert "no tokenizer.json" in said["a/5-tokens"]


def test_what_is_in_the_cache_but_is_no_checkpoint(cache: Path) -> None:
    (cache / "models--a--empty" / "snapshots" / "abc").mkdir(parents=True)
    (cache / "models--a--none").mkdir()
    (cache / "datasets--a--b" / "snapshots" / "abc").mkdir(parents=True)
    (cache / "models--file").write_text("")
    assert listing() == []


def test_a_directory(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.write("llama", tmp_path / "my model")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("my model", "./my model", "~/my model", str(folder), str(folder) + "/", folder):
        assert find(name) == folder
    assert load("my model", device="cpu").name == "my model"


def test_a_name_that_nothing_has(cache: Path) -> None:
    put(cache, "llama", "somebody/tiny-llama")
    for name, said in (
        ("somebody/tiny-lama", "Did you mean somebody/tiny-llama?"),
        ("tiny-llama", "Did you mean somebody/tiny-llama?"),
        ("elephant", "Here there are somebody/tiny-llama; or give the directory"),
    ):
        with pytest.raises(ModelNotFound) as caught:
            find(name)
        assert caught.value.message == f"There is no model {name!r}."
        assert said in caught.value.hint


@pytest.mark.parametrize("name", ["", "\0", "a\x1b[2J", "x" * 5000, "/" * 3 + "no/such", "~nobody/model", "\ud800"])
def test_names_that_no_file_can_have(name: str, cache: Path) -> None:
    with pytest.raises(ModelNotFound) as caught:
        find(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300
