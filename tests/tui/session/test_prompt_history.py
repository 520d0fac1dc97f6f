"""What was sent comes back in the next session, whatever happened to the file in between."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.session.prompt_history import MOST, History


def test_the_next_session_remembers(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "history.jsonl"
    History(path).add("one\ntwo \ud800 \u2028 中")
    History(path).add("three")
    assert History(path).texts == ["one\ntwo \ud800 \u2028 中", "three"]


def test_it_lives_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path))
    History().add("hello")
    assert json.loads((tmp_path / "history.jsonl").read_text()) == {"text": "hello"}


def test_the_same_twice_is_kept_once(tmp_path: Path) -> None:
    history = History(tmp_path / "h")
    for text in ("a", "a", "b", "a"):
        history.add(text)
    assert history.texts == History(tmp_path / "h").texts == ["a", "b", "a"]


@given(cut=st.integers(1, 22))
def test_a_torn_last_line_costs_only_itself(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("torn") / "h"
    History(path).add("first")
    whole = path.read_bytes()
    History(path).add("second, torn")
    path.write_bytes(path.read_bytes()[: len(whole) + cut])
    again = History(path)
    assert again.texts == ["first"]
    again.add("third")
    assert History(path).texts == ["first", "third"]


def test_lines_that_are_something_else_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.write_bytes(b'\xff\xfe\n[1]\n{"text": 5}\n{"text": ""}\n\n{"text": "ok"}\n{}\n')
    assert History(path).texts == ["ok"]


def test_only_the_last_are_remembered_and_the_file_does_not_grow_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "h"
    path.write_text("".join(json.dumps({"text": str(n)}) + "\n" for n in range(2 * MOST + 1)))
    assert History(path).texts == [str(n) for n in range(MOST + 1, 2 * MOST + 1)]
    assert len(path.read_text().splitlines()) == MOST


def test_where_nothing_can_be_written_it_lasts_the_session(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    history = History(tmp_path / "file" / "h")  # a folder cannot be made inside a file
    history.add("one")
    history.add("two")
    assert history.texts == ["one", "two"]
    assert "not kept" in history.note


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "history.jsonl"
    before = os.umask(0o022)
    try:
        History(path).add("a secret")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        path.chmod(0o644)  # as one that an earlier version has made
        History(path).add("another")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        path.write_text("".join(json.dumps({"text": str(n)}) + "\n" for n in range(2 * MOST + 1)))
        History(path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, "shortened"
    finally:
        os.umask(before)


@pytest.mark.skipif(os.name != "posix", reason="permissions")
def test_a_folder_of_ours_is_closed_and_one_of_theirs_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
    monkeypatch.setattr("tui.session.prompt_history.data_folder", lambda: ours)
    monkeypatch.delenv("LOGITSCOPE_DATA")
    History().add("hello")
    assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    History(theirs / "history.jsonl").add("hello")
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o755


@pytest.mark.parametrize("word", ["off", "0", "No"])
def test_it_can_be_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path))
    History().add("before")
    monkeypatch.setenv("LOGITSCOPE_HISTORY", word)
    history = History()
    history.add("a secret")
    assert history.texts == ["a secret"], "for the session, and nothing of earlier ones"
    assert history.note == ""
    monkeypatch.delenv("LOGITSCOPE_HISTORY")
    assert History().texts == ["before"]
