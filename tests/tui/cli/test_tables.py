"""Tables keep what one must type whole, in pipes and in terminals that are narrower than they are."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from core.settings import Settings
from tests.tui.support.scripted import prediction
from tui.cli import tables
from weights.fit.available import AvailableMemory
from weights.library.entry import ModelEntry

NAME = "somebody/with-a-very-long-name-indeed/and-a-file-in-it-with-another.Q4_K_M.gguf"
FREE = AvailableMemory(device="cpu", dtype="float32", free=10**10)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(params=[None, 40, 60, 100, 300])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int | None:
    """Of a terminal; None: a pipe."""
    monkeypatch.setattr(tables.shutil, "get_terminal_size", lambda: os.terminal_size((request.param or 80, 24)))
    monkeypatch.setenv("TERM", "dumb")  # for which Rich knows of 80 columns alone
    return request.param


def shown(width: int | None, show: Callable[[], None]) -> list[str]:
    paper = io.StringIO() if width is None else Terminal()
    with redirect_stdout(paper):
        show()
    return [line.rstrip() for line in paper.getvalue().splitlines()]


def entry(**more: object) -> ModelEntry:
    return ModelEntry(name=NAME, path=Path("x"), source="LM Studio", **more)  # type: ignore[arg-type]


def test_a_name_is_never_cut(width: int | None) -> None:
    problem = "Its tokenizer is of a kind that is not known here, and so nothing can be said to it at all."
    lines = shown(width, lambda: tables.show_models([entry(), entry(problem=problem)], FREE))
    assert sum(NAME in line for line in lines) == 2
    assert not any("…" in line for line in lines)
    assert problem in " ".join(" ".join(lines).split())
    if width is None:
        assert sum(line.startswith(NAME) and line.endswith(problem) for line in lines) == 1, "a line per model"


def test_what_is_said_of_a_distribution_is_broken_between_its_parts(width: int | None) -> None:
    shape = prediction(Settings())
    lines = shown(width, lambda: tables.show_prediction("scripted", shape, chosen=100, drawn=0.25))
    assert not any("…" in line for line in lines)
    for piece in ("temperature 0.8", "drawn 0.250", "about 4.0 real choices", "penalties 4,096", "top-k 5"):
        assert any(piece in line for line in lines), piece
    if width is None:
        assert len(lines) == 3 + 1 + 20 + 1
    elif width >= 60:
        assert max(map(len, lines)) <= width
