"""What the commands print where only the top of a distribution is known."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from core.settings import Settings
from tests.tui.support.scripted import prediction, record, top_only
from tui.cli import commands, tables

TOP_ONLY = top_only(Settings())


def test_the_table_says_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    tables.show_prediction("m", TOP_ONLY, chosen=100, drawn=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "model: unknown · after the chain: unknown"
    assert lines[-1].split() == ["all", "others", "unknown", "unknown"]
    tables.show_prediction("m", prediction(Settings()), chosen=100, drawn=0.25)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "model: 2.00 bits, about 4.0 real choices · after the chain: 1.80 bits, about 3.5"  # 2 ** 1.8
    assert lines[-1].split()[:3] == ["the", "other", "4,076"]


def test_json_has_null_in_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    commands._print_json(replace(record(3, "word"), prediction=TOP_ONLY))
    token = json.loads(capsys.readouterr().out)
    assert token["entropy_bits"] is None
    assert token["rest"] == {"count": None, "raw_probability": None, "probability": None}


def test_fewer_candidates_leave_an_unknown_rest_unknown() -> None:
    fewer = commands._at_most(TOP_ONLY, 2)
    assert len(fewer.candidates) == 2
    assert fewer.rest_count is fewer.rest_raw_probability is fewer.rest_probability is None
    assert commands._at_most(prediction(Settings()), 2).rest_count == 4076 + 18
