"""Which models are found in the folders of this and of other programs, and what is said of a GGUF file."""

from __future__ import annotations

import json
import os
import random
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from core.errors import BadSetting, ModelNotFound
from weights.fit.available import AvailableMemory
from weights.hub.remove import remove
from weights.library import paths
from weights.library.listing import listing
from weights.library.names import find, title

PLENTY = AvailableMemory(device="cpu", dtype="bfloat16", free=10**9)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with nothing on it."""
    for name in (
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "HF_HOME",
        "XDG_CACHE_HOME",
        "OLLAMA_MODELS",
        "LOGITSCOPE_MODELS",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(paths, "OLLAMA_SERVICE", tmp_path / "none")
    monkeypatch.setattr(paths, "package_folders", list)
    monkeypatch.setattr("weights.library.names._SHIPPED", {"bundled": tmp_path / "none", "textbook": tmp_path / "none"})
    return tmp_path


def write_gguf(path: Path, *, architecture: str = "llama", split: int = 0, file_type: int = 7) -> Path:
    """Written by the gguf package: 2 layers, 4 query heads of 16 channels, 2 key heads, 6,410 weights."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=split)
    writer.add_context_length(4096)
    writer.add_block_count(2)
    writer.add_embedding_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_feed_forward_length(128)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_file_type(file_type)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([chr(0x4E00 + n) for n in range(500)])
    writer.add_token_scores([0.5] * 500)
    writer.add_tensor("token_embd.weight", np.zeros((100, 64), dtype=np.float32))
    writer.add_tensor("output_norm.weight", np.zeros((10,), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def put_ollama(root: Path, name: str, blob: Path | None, kind: str = "model", digest: str | None = None) -> None:
    """A model as Ollama lays it out: registry/owner/name/tag, and a blob under its sum."""
    manifest = root / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    sums = digest or "sha256:" + "ab" * 32
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:" + "00" * 32, "size": 1},
        {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": sums, "size": 1},
    ]
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    if blob is not None:
        (root / "blobs").mkdir(exist_ok=True)
        blob.rename(root / "blobs" / sums.replace(":", "-"))


def names() -> list[str]:
    return [one.name for one in listing()]


def test_ollama(home: Path) -> None:
    root = home / ".ollama" / "models"
    put_ollama(root, "registry.ollama.ai/library/llama3.2/latest", write_gguf(home / "x.gguf"))
    put_ollama(root, "registry.ollama.ai/somebody/tiny/q8", None)
    put_ollama(root, "hf.co/owner/repo/Q4_K_M", None)
    put_ollama(root, "registry.ollama.ai/library/other/latest", None, kind="tensor")
    put_ollama(root, "registry.ollama.ai/library/evil/latest", None, digest="sha256:../../../etc/passwd")
    put_ollama(root, "registry.ollama.ai/library/evil/list", None, digest="x")
    (root / "manifests" / "registry.ollama.ai" / "library" / "evil" / "junk").write_text("[" * 100_000)
    blob = root / "blobs" / ("sha256-" + "ab" * 32)
    assert names() == ["hf.co/owner/repo:Q4_K_M", "llama3.2:latest", "somebody/tiny:q8"]
    for name in ("llama3.2:latest", "llama3.2", "LLAMA3.2"):
        assert find(name) == root / "manifests" / "registry.ollama.ai" / "library" / "llama3.2" / "latest"
    entry = next(one for one in listing(available=PLENTY) if one.name == "llama3.2:latest")
    assert (entry.source, entry.family, entry.quantization, entry.context) == ("Ollama", "llama", "Q8_0", 4096)
    assert (entry.problem, entry.fits) == (None, 4096), "though its name does not say that it is a GGUF file"
    with pytest.raises(BadSetting, match="belongs to Ollama") as caught:
        remove("llama3.2")
    assert "ollama rm" in caught.value.hint
    assert blob.is_file()


def test_lm_studio_and_the_hugging_face_cache(home: Path) -> None:
    for root in (".lmstudio/models", ".cache/lm-studio/models"):
        write_gguf(home / root / "owner" / "repo-GGUF" / "tiny-Q4_K_M.gguf")
    write_gguf(home / ".lmstudio/models/owner/repo-GGUF/tiny-Q6_K.gguf")
    snapshot = home / ".cache/huggingface/hub/models--a--b-GGUF/snapshots/abc"
    snapshot.mkdir(parents=True)
    blob = write_gguf(home / ".cache/huggingface/hub/models--a--b-GGUF/blobs/0123.gguf")
    os.symlink(os.path.relpath(blob.rename(blob.with_suffix("")), snapshot), snapshot / "b-Q5_0.gguf")
    old = home / ".cache/lm-studio/models/owner/repo-GGUF/tiny-Q4_K_M.gguf"
    assert names() == [
        "a/b-GGUF:b-Q5_0.gguf",
        "owner/repo-GGUF:tiny-Q4_K_M.gguf",
        "owner/repo-GGUF:tiny-Q6_K.gguf",
        str(old),  # the second of a name is called by its path
    ]
    assert find("a/b-GGUF") == snapshot / "b-Q5_0.gguf"
    assert title(snapshot / "b-Q5_0.gguf") == "a/b-GGUF:b-Q5_0.gguf"
    assert find("owner/repo-gguf:q6_k").name == "tiny-Q6_K.gguf"
    with pytest.raises(ModelNotFound, match="2 models") as caught:
        find("owner/repo-GGUF")
    assert "owner/repo-GGUF:tiny-Q6_K.gguf" in caught.value.hint


def test_a_folder_that_the_person_names(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = home / "my models"
    write_gguf(folder / "one.gguf")
    write_gguf(folder / "deep" / "er" / "two.gguf", split=1)
    write_gguf(folder / ".hidden" / "three.gguf")
    (folder / "web").mkdir()
    (folder / "web" / "config.json").write_text("{}")
    (folder / "deep" / "round").symlink_to(folder)
    assert names() == []
    found = [entry.path for entry in listing([folder])]
    assert found == [folder / "one.gguf", folder / "deep" / "er" / "two-00001-of-00002.gguf"]
    two = listing([folder], PLENTY)[1]
    assert (two.parameters, two.problem) == (6_410, None)
    assert two.bytes == sum(part.stat().st_size for part in found[1].parent.iterdir())
    with pytest.raises(ModelNotFound, match="holds 2 models") as caught:
        find(folder)
    assert str(folder / "one.gguf") in caught.value.hint
    assert find(folder / "deep") == found[1]
    monkeypatch.setenv("LOGITSCOPE_MODELS", f"{folder}{os.pathsep}{home / 'not there'}")
    assert names() == [str(path) for path in found]


def test_linked_folders_are_looked_into_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, disk = home / "models", home / "disk"
    kept = write_gguf(folder / "kept" / "one.gguf")
    write_gguf(disk / "sub" / "two.gguf")
    (folder / "a link").symlink_to(disk)
    (folder / "again").symlink_to(folder / "kept")
    (folder / "another").symlink_to(disk / "sub")
    (disk / "back").symlink_to(folder)
    (disk / "itself").symlink_to(disk / "itself")
    (home / "door").symlink_to(folder)
    two = folder / "a link" / "sub" / "two.gguf"
    assert [entry.path for entry in listing([folder])] == [kept, two]
    assert find(folder / "another") == folder / "another" / "two.gguf"
    monkeypatch.setenv("LOGITSCOPE_MODELS", str(home / "door"))
    door = home / "door"
    assert [entry.path for entry in listing()] == [door / "kept" / "one.gguf", door / two.relative_to(folder)]


def test_the_hugging_face_cache_is_where_its_library_has_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library itself is the oracle, in a process of its own: it reads its variables once."""
    cases: list[dict[str, str]] = [
        {},
        {"XDG_CACHE_HOME": "~/xdg"},
        {"HF_HOME": "~/$PLACE/hf", "XDG_CACHE_HOME": "/xdg"},
        {"HUGGINGFACE_HUB_CACHE": "~/old", "HF_HOME": "/hf"},
        {"HUGGINGFACE_HUB_CACHE": "$PLACE/old"},
        {"HF_HUB_CACHE": "$HOME/new", "HUGGINGFACE_HUB_CACHE": "/old"},
        {"HF_HUB_CACHE": "$TILDE/new"},
    ]
    others = {"HOME": str(home), "PLACE": "/place", "TILDE": "~"}
    program = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    for case in cases:
        with monkeypatch.context() as patch:
            for name, value in (others | case).items():
                patch.setenv(name, value)
            said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
            assert paths.huggingface_cache() == Path(said.strip()), case


@pytest.mark.parametrize(
    ("name", "file_type", "said"),
    [
        ("x.gguf", 7, "Q8_0"),
        ("x.gguf", 15, "Q4_K_M"),
        ("x.gguf", 0, "F32"),
        ("x.gguf", 1024, "F32"),  # not told: the one that most weights are in
        ("x.gguf", 4711, "F32"),
        ("x-UD-Q4_K_XL.gguf", 15, "UD-Q4_K_XL"),  # the name tells more than the file
    ],
)
def test_the_number_format_of_a_file(name: str, file_type: int, said: str, home: Path) -> None:
    write_gguf(home / "m" / name, file_type=file_type)
    (entry,) = listing([home / "m"])
    assert (entry.quantization, entry.problem) == (said, None)


def test_what_is_said_of_a_file_that_cannot_be_opened(home: Path) -> None:
    path = write_gguf(home / "m" / "x.gguf", architecture="mamba")
    (entry,) = listing([home / "m"], PLENTY)
    assert (entry.family, entry.quantization, entry.bytes) == ("mamba", "Q8_0", path.stat().st_size)
    assert entry.problem == "GGUF files of architecture 'mamba' cannot be run here."
    assert entry.needs is entry.fits is None


def test_whether_it_fits(home: Path) -> None:
    write_gguf(home / "m" / "a.gguf")
    weights, cache = 2 * 6_410, 2 * 2 * 2 * 32  # bytes, and bytes a token, in 16 bits
    for free, tokens in ((10**9, 4096), (weights + 3_000 * cache, 2_048), (weights + 1_000 * cache, 0)):
        (entry,) = listing([home / "m"], AvailableMemory(device="cpu", dtype="float16", free=free))
        assert entry.fits == tokens
        assert entry.needs == weights + (tokens or 2_048) * cache
    (entry,) = listing([home / "m"], PLENTY, context=100)
    assert (entry.fits, entry.needs) == (100, weights + 100 * cache)


def test_a_damaged_file_is_a_line_of_the_listing(home: Path) -> None:
    path = write_gguf(home / "m" / "x.gguf")
    whole = path.read_bytes()
    random_ = random.Random(0)
    said: list[str] = []
    for n in range(300):
        data = bytearray(whole[: random_.randrange(len(whole))] if n % 3 == 0 else whole)
        for _ in range(0 if n % 3 == 0 else 4):
            place = random_.randrange(min(len(data) - 8, 600))
            data[place : place + 8] = random_.choice([b"\xff" * 8, struct.pack("<Q", 1 << 40), random_.randbytes(8)])
        path.write_bytes(data)
        (entry,) = listing([home / "m"], PLENTY)
        said += [entry.problem] if entry.problem else []
    assert len(said) > 150
    assert not any("\n" in message for message in said)
