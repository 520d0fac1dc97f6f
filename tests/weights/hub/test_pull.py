"""Fetching models: the real client against a hub on this machine, over real sockets."""

from __future__ import annotations

import errno
import json
import shutil
import socket
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from core.errors import BadSetting, DownloadFailed, LogitscopeError, ModelNotFound, UnsupportedModel
from tests.weights.support import tiny_gguf
from tests.weights.support.gguf_bytes import whole
from tests.weights.support.loopback_hub import Hub, Repo, cut, damaged, git_sum, hold, status, without_ranges
from tests.weights.support.repositories import TEXTS, noise
from weights.gguf.header import read_header
from weights.hub import http
from weights.hub.errors import explained
from weights.hub.pull import Progress, _alone, pull
from weights.hub.remove import remove
from weights.hub.repository import parse
from weights.library.download_record import Record
from weights.library.listing import listing
from weights.library.names import BUNDLED, find, title

TRICK = b'{"weight_map": {"a": "../x.safetensors"}}'
WEIGHTS = noise(300_000)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one checkpoint, and our own empty folder for downloads."""
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path / "data"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(http, "WAITS", (0.0, 0.0))
    for name, folder in (("HF_HUB_CACHE", "hf"), ("OLLAMA_MODELS", "ollama"), ("HOME", "home")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    extra = {"pytorch_model.bin": noise(5_000, 1), "README.md": b"Hello", "onnx/model.onnx": noise(5_000, 2)}
    with Hub({"some/model": Repo({**extra, **TEXTS, "model.safetensors": WEIGHTS})}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models" / "some" / "model"


def files_in(folder: Path) -> set[str]:
    return {one.name for one in folder.iterdir()} - {".lock", "download.json"}


def test_only_what_is_needed_comes_and_is_what_was_sent(server: Hub, folder: Path) -> None:
    told: list[Progress] = []
    assert pull("some/model", told.append) == "some/model"
    assert files_in(folder) == {*TEXTS, "model.safetensors"}
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert sorted(server.fetched()) == sorted([*TEXTS, "model.safetensors"])
    assert told[-1].done == told[-1].total == len(WEIGHTS) + sum(map(len, TEXTS.values()))
    assert find("Some/Model") == folder
    assert title(folder) == "some/model"


def test_what_was_fetched_can_be_opened(server: Hub) -> None:
    from weights.load import load

    files = {path.name: path.read_bytes() for path in (BUNDLED / "textbook").iterdir()}
    server.repos["some/textbook"] = Repo(files)
    fetched, own = load(pull("some/textbook"), device="cpu"), load("textbook", device="cpu")
    assert fetched.name == "some/textbook"
    weights = own.transformer.state_dict()
    assert weights
    assert all(value.equal(weights[name]) for name, value in fetched.transformer.state_dict().items())


@pytest.mark.parametrize("again", ["some/model", "SOME/Model", "https://huggingface.co/some/model", "hf.co/some/model"])
def test_what_is_here_is_not_fetched_again(again: str, server: Hub, folder: Path) -> None:
    pull("some/model")
    server.asked.clear()
    assert pull(again) == "some/model"
    assert server.fetched() == []


def test_a_new_revision_brings_what_has_changed(server: Hub, folder: Path) -> None:
    pull("some/model")
    server.asked.clear()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    shards = {name: noise(2_000, n) for n, name in enumerate(index["weight_map"].values())}
    stray = {"consolidated.safetensors": noise(4_000, 3)}
    changed = {**TEXTS, "tokenizer_config.json": b"{ }", "model.safetensors.index.json": json.dumps(index).encode()}
    server.repos["some/model"] = Repo({**changed, **shards, **stray}, revision="b" * 40)
    pull("some/model")
    assert sorted(server.fetched()) == sorted(["tokenizer_config.json", "model.safetensors.index.json", *shards])
    assert files_in(folder) == {*changed, *shards}, "the old weights are gone"
    assert (folder / "tokenizer_config.json").read_bytes() == b"{ }"


@pytest.mark.parametrize("fault", [cut(100_000), status(503), status(429)])
def test_a_break_in_the_middle_goes_on_from_there(fault: object, server: Hub, folder: Path) -> None:
    server.faults["model.safetensors"] = [fault, cut(50_000), status(500)]  # type: ignore[list-item]
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    stored = [one for one in server.asked if one.path.startswith("/stored") and one.method == "GET"]
    starts = [int((one.range or "bytes=0-")[6:-1]) for one in stored]
    assert starts == sorted(starts)
    assert starts[-1] > 0, "what was here was not asked for again"


def test_a_connection_that_always_breaks_is_given_up_but_what_came_is_kept(server: Hub, folder: Path) -> None:
    server.faults["model.safetensors"] = [cut(70_000), *[cut(0)] * 9]
    with pytest.raises(DownloadFailed, match="broke off") as caught:
        pull("some/model")
    assert "goes on from there" in caught.value.hint
    entry = next(one for one in listing() if one.name == "some/model")
    assert "`logitscope models pull some/model` goes on with it" in (entry.problem or "")
    server.faults.clear()
    server.asked.clear()
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert server.fetched() == ["model.safetensors"]
    assert server.ranges("model.safetensors") == ["bytes=70000-"] * 2, "before and after the redirect"
    assert not list(folder.glob("*.part"))


def test_a_server_without_ranges_sends_all_of_it_again(server: Hub, folder: Path) -> None:
    server.faults["model.safetensors"] = [cut(70_000), without_ranges]
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_wrong_check_sum_is_noticed_and_nothing_kept(name: str, server: Hub, folder: Path) -> None:
    server.faults[name] = [damaged]
    with pytest.raises(DownloadFailed, match=f"{name} came with a wrong check sum"):
        pull("some/model")
    assert not (folder / name).exists()
    assert not list(folder.glob("*.part"))


def test_a_damaged_beginning_from_an_earlier_try_costs_only_time(server: Hub, folder: Path) -> None:
    server.faults["model.safetensors"] = [cut(70_000), *[cut(0)] * 9]
    with pytest.raises(DownloadFailed):
        pull("some/model")
    server.faults.clear()
    (part,) = folder.glob("model.safetensors.*.part")
    part.write_bytes(b"x" * 70_000)
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    (folder / "model.safetensors").unlink()  # what the record calls done, but is not here
    part.write_bytes(WEIGHTS + b"more than there should be")
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_a_mirror_that_tells_only_names_is_asked_for_the_files_themselves(server: Hub, folder: Path) -> None:
    server.repos["some/model"].bare = True
    server.faults["model.safetensors"] = [damaged]
    with pytest.raises(DownloadFailed, match="wrong check sum"):
        pull("some/model")
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


GGUFS = {
    "tiny-Q4_K_M.gguf": noise(2_000, 4),
    "tiny-Q8_0.gguf": noise(4_000, 5),
    "mmproj-tiny-f16.gguf": noise(1_500, 6),
    "big/tiny-F16-00001-of-00002.gguf": noise(3_000, 7),
    "big/tiny-F16-00002-of-00002.gguf": noise(3_500, 8),
}


@pytest.mark.parametrize(
    ("chosen", "files"),
    [
        ("tiny-Q4_K_M.gguf", ["tiny-Q4_K_M.gguf"]),
        ("q8_0", ["tiny-Q8_0.gguf"]),
        ("F16", ["big/tiny-F16-00001-of-00002.gguf", "big/tiny-F16-00002-of-00002.gguf"]),
    ],
)
def test_one_gguf_file_of_many(chosen: str, files: list[str], server: Hub, folder: Path) -> None:
    server.repos["some/model"] = Repo({**GGUFS, "README.md": b""})
    name = pull(f"some/model:{chosen}")
    assert name == f"some/model:{files[0]}"
    assert server.fetched() == files
    assert find(name) == find("some/model") == find(f"some/model:{chosen}") == folder / files[0]
    assert title(folder / files[0]) == name
    assert all((folder / file).read_bytes() == GGUFS[file] for file in files)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"tokenizer.ggml.pre": "bloom"}, "'bloom'"),
        ({"tokenizer.ggml.merges": None}, "no tokenizer.ggml.merges"),
        ({"tokenizer.ggml.escape_whitespaces": True}, "escape_whitespaces True"),
        ({"llama.attention.clamp_kqv": 8.0}, "clamp_kqv 8.0"),
        ({"general.architecture": "bloom"}, "'bloom'"),
    ],
)
def test_a_gguf_file_that_cannot_be_opened_is_refused_by_its_header(
    change: dict[str, object], said: str, server: Hub, folder: Path, tmp_path: Path
) -> None:
    """The connection breaks behind the header: whoever wants more than that asks again."""
    good = tiny_gguf.write("llama", tmp_path / "good.gguf")[0]
    header = read_header(good)
    metadata = {key: value for key, value in (dict(header.metadata) | change).items() if value is not None}
    tensors = [(tensor.name, tensor.shape, int(tensor.kind), bytes(tensor.n_bytes)) for tensor in header.tensors]
    content = whole(metadata, tensors) + bytes(4_000_000)
    server.repos["some/model"] = Repo({"m.gguf": content})
    server.faults["m.gguf"] = [cut(2_000_000)]
    with pytest.raises(LogitscopeError) as caught:
        pull("some/model")
    assert said in caught.value.message
    assert server.ranges("m.gguf") == [None, None]  # of the file, and of the place it leads to
    assert not folder.exists() or files_in(folder) == set()


def test_a_gguf_file_that_can_be_opened_comes_as_a_whole(server: Hub, tmp_path: Path) -> None:
    good = tiny_gguf.write("llama", tmp_path / "good.gguf")[0]
    server.repos["some/model"] = Repo({"m.gguf": good.read_bytes()})
    assert find(pull("some/model")).read_bytes() == good.read_bytes()


def test_several_gguf_files_and_none_chosen_are_listed_with_their_sizes(server: Hub) -> None:
    server.repos["some/model"] = Repo(GGUFS)
    for asked, said in (("some/model", "has 3 GGUF files"), ("some/model:Q2_K", "no file 'Q2_K'")):
        with pytest.raises(ModelNotFound, match=said) as caught:
            pull(asked)
        for line in ("some/model:tiny-Q8_0.gguf (0.0 MB)", "some/model:big/tiny-F16-00001-of-00002.gguf (0.0 MB)"):
            assert line in caught.value.hint
        assert "mmproj" not in caught.value.hint
        assert "00002-of-00002" not in caught.value.hint.replace("00001-of-00002", "")
    assert server.fetched() == []


def test_pickles_are_not_fetched(server: Hub, folder: Path) -> None:
    server.repos["some/model"] = Repo({**TEXTS, "pytorch_model.bin": noise(5_000)})
    with pytest.raises(UnsupportedModel, match="only as pickles"):
        pull("some/model")
    assert server.fetched() == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"config.json": b'{"model_type": "mamba"}'}, "'mamba'"),
        ({"config.json": b"{"}, "not JSON"),
        ({"tokenizer.json": None}, "no tokenizer.json"),
        ({"config.json": None}, "no config.json"),
        ({"model.safetensors": None, "adapter_model.safetensors": noise(2_000)}, "no model.safetensors"),
        (
            {"model.safetensors": None, "x.safetensors": b"", "model.safetensors.index.json": TRICK},
            "'../x.safetensors'",
        ),
    ],
)
def test_what_cannot_be_opened_is_refused_before_its_weights_come(
    changed: dict[str, bytes | None], said: str, server: Hub, folder: Path
) -> None:
    files = {**TEXTS, "model.safetensors": WEIGHTS, **changed}
    server.repos["some/model"] = Repo({name: data for name, data in files.items() if data is not None})
    with pytest.raises(LogitscopeError) as caught:
        pull("some/model")
    assert said in caught.value.message
    assert "model.safetensors" not in server.fetched()
    assert not folder.parent.exists(), "nothing is left behind"


def test_names_that_lead_out_of_the_folder_are_not_followed(server: Hub, folder: Path) -> None:
    tricks = {
        "../../out.gguf": GGUFS["tiny-Q8_0.gguf"],
        "a\\..\\b.gguf": b"x",
        "/etc/c.gguf": b"x",
        "c:d.gguf": b"x",
        "\x1b[2J.gguf": b"x",
    }
    server.repos["some/model"] = Repo({**tricks, "fine.gguf": b"x"})
    assert pull("some/model") == "some/model:fine.gguf"
    assert server.fetched() == ["fine.gguf"]


def test_a_gated_model_says_what_to_do_and_comes_with_the_right_token(
    server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.repos["some/model"].terms = True
    with pytest.raises(DownloadFailed, match="gated") as caught:
        pull("some/model")
    assert f"{server.address}/some/model" in caught.value.hint
    assert "HF_TOKEN" in caught.value.hint
    assert not folder.parent.exists(), "nothing is left behind"
    monkeypatch.setenv("HF_TOKEN", "another")
    with pytest.raises(DownloadFailed, match="this HF_TOKEN may not"):
        pull("some/model")
    monkeypatch.setenv("HF_TOKEN", "accepted")
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    kept = [one for one in server.asked if one.path.startswith("/stored")]
    assert kept
    assert not any(one.authorization for one in kept), "the token goes to the hub only"


def test_what_is_not_there(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    server.repos["some/secret"] = Repo(TEXTS, private=True)
    for name in ("some/nothing", "some/secret"):
        with pytest.raises(ModelNotFound, match=f"no model {name} on {server.address}"):
            pull(name)
    monkeypatch.setenv("HF_TOKEN", "mine")
    with pytest.raises(ModelNotFound, match="no model some/nothing"):
        pull("some/nothing")
    monkeypatch.setenv("HF_TOKEN", "wrong")
    with pytest.raises(DownloadFailed, match="does not let this HF_TOKEN"):
        pull("some/model")


def test_a_hub_with_a_fault_of_its_own(server: Hub) -> None:
    server.faults["config.json"] = [status(503)] * 9
    with pytest.raises(DownloadFailed, match=r"a fault of its own \(503\)"):
        pull("some/model")


def test_no_network_and_no_hub(server: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setenv("HF_ENDPOINT", closed)
        with pytest.raises(DownloadFailed, match=f"{closed} cannot be reached"):
            pull("some/model")
    monkeypatch.setenv("HF_ENDPOINT", f"{server.address}/some/model/resolve/main/config.json?")
    with pytest.raises(DownloadFailed, match="does not answer like a hub"):
        pull("some/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadFailed, match="HF_HUB_OFFLINE"):
        pull("some/model")


def test_the_disk_is_looked_at_first(server: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 100_000))
    with pytest.raises(DownloadFailed, match=r"has 0\.1 MB free: 0\.2 MB too little") as caught:
        pull("some/model")
    assert "LOGITSCOPE_DATA" in caught.value.hint
    assert "model.safetensors" not in server.fetched()


def test_a_disk_that_is_full_in_the_middle() -> None:
    with pytest.raises(DownloadFailed, match="disk is full") as caught, explained("a/b", "http://hub"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "goes on from there" in caught.value.hint


def test_two_at_once(server: Hub, folder: Path) -> None:
    with _alone(folder), pytest.raises(DownloadFailed, match="Another process"):
        pull("some/model")
    pull("some/model")


@pytest.mark.parametrize("text", ["", "model", "a/b/c", "../x", "a/..", "a b/c", "a/b:", "\x1b[2J/x", "http://x/y"])
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(BadSetting) as caught:
        parse(text)
    assert str(caught.value).isprintable()


def test_removing(server: Hub, folder: Path) -> None:
    server.repos["some/ggufs"] = Repo(GGUFS)
    pull("some/model")
    for file in ("Q4_K_M", "F16"):
        pull(f"some/ggufs:{file}")
    remove("some/ggufs:F16")
    assert [path.name for path in (folder.parent / "ggufs").rglob("*.gguf")] == ["tiny-Q4_K_M.gguf"]
    assert Record.of(folder.parent / "ggufs").done == {"tiny-Q4_K_M.gguf"}
    remove("some/model")
    assert not folder.exists()
    remove("some/ggufs")
    assert not folder.parent.exists(), "the owner's folder goes with the last model"
    with pytest.raises(BadSetting, match="came with Logitscope"):
        remove("bundled")
    with pytest.raises(ModelNotFound):
        remove("some/model")


def test_the_sums_are_those_of_git() -> None:
    assert git_sum(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object


class _Enough(Exception):
    """Whoever is told does not want more."""


def test_who_is_told_can_stop_it_and_what_came_stays(server: Hub, folder: Path) -> None:
    def tell(progress: Progress) -> None:
        if progress.name == "model.safetensors":
            raise _Enough

    server.faults["model.safetensors"] = [cut(100_000), hold(0, threading.Event())]
    with pytest.raises(_Enough):
        pull("some/model", tell)
    (part,) = folder.glob("model.safetensors.*.part")
    there = part.read_bytes()
    assert there
    assert WEIGHTS.startswith(there)
    assert not (folder / "model.safetensors").exists()
    assert "goes on with it" in (next(one for one in listing() if one.name == "some/model").problem or "")
    server.asked.clear()
    server.faults.clear()
    pull("some/model")
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert server.ranges("model.safetensors") == [f"bytes={len(there)}-"] * 2, "before and after the redirect"


def test_the_total_is_right_from_the_first_word_and_what_was_here_has_not_come(server: Hub, folder: Path) -> None:
    server.faults["model.safetensors"] = [cut(70_000), *[cut(0)] * 9]
    told: list[Progress] = []
    with pytest.raises(DownloadFailed):
        pull("some/model", told.append)
    size = len(WEIGHTS) + sum(map(len, TEXTS.values()))
    assert {one.total for one in told} == {size}
    assert told[-1].came == told[-1].done == size - len(WEIGHTS) + 70_000
    told.clear()
    server.faults.clear()
    pull("some/model", told.append)
    assert {one.total for one in told} == {size}
    assert told[0].came == 0
    assert (told[-1].done, told[-1].came) == (size, len(WEIGHTS) - 70_000)
