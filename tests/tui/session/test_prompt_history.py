"""What was sent comes back in the next session, whatever happened to the file in between."""

import json
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
