"""A request to open a model becomes an engine, the same for the screen and for the commands."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.conversation import Message
from core.errors import LogitscopeError, ModelNotFound
from core.native.bindings import library
from core.records import Token
from core.settings import Settings
from tui.cli.commands import engine_of
from tui.cli.main import parse
from tui.engines.open_engine import open_engine
from tui.engines.protocol import Load
from weights.load_options import LoadOptions


def test_what_is_asked_for_reaches_the_model(checkpoint: Path) -> None:
    told: list[float] = []
    load = Load(model=str(checkpoint), device="cpu", dtype="bfloat16", context=100, quantize="int8", speculate=False)
    assert isinstance(load, LoadOptions)
    opened = open_engine(load, on_progress=lambda fraction, what: told.append(fraction))
    model = opened.engine.model
    assert (str(model.device), model.precision, model.context_length) == ("cpu", "int8", 100)
    assert (opened.draft, opened.draft_fallback_reason) == ("", "")
    assert (told[0], told[-1]) == (0.0, 1.0)


@pytest.mark.skipif(library() is None, reason="guesses are for the C library, which is not built")
def test_a_draft_that_fits(checkpoint: Path) -> None:
    opened = open_engine(Load(model=str(checkpoint), device="cpu", dtype="float32", draft="int4"))
    assert (opened.draft, opened.draft_fallback_reason) == (f"{checkpoint.name} in int4", "")
    settings = Settings(seed=1, max_tokens=5)
    events = opened.engine.tokens((Message(role="user", text="Hello!"),), lambda: settings)
    assert sum(isinstance(event, Token) for event in events) > 0


@pytest.mark.skipif(library() is None, reason="guesses are for the C library, which is not built")
def test_a_draft_that_does_not_fit(checkpoint: Path) -> None:
    load = Load(model=str(checkpoint), device="cpu", dtype="float32", draft="no/such")
    with pytest.raises(ModelNotFound):
        open_engine(load)
    opened = open_engine(Load(**{**vars(load), "draft_needed": False}))
    assert opened.draft == ""
    assert opened.draft_fallback_reason.startswith("Without a draft: There is no model 'no/such'")


def test_what_cannot_be_compiled_is_refused(checkpoint: Path) -> None:
    with pytest.raises(LogitscopeError, match="nothing to compile for cpu"):
        open_engine(Load(model=str(checkpoint), device="cpu", compiled=True))


def test_a_command_says_why_it_goes_without_the_draft(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["ask", "--model", str(checkpoint), "--device", "cpu", "--dtype", "float16", "--draft", "int4", "Hello!"]
    assert engine_of(parse(line)).model.precision == "float16"
    assert "int4 does not draft for" in capsys.readouterr().err
    engine_of(parse(line), writes=False)  # nothing is to be guessed, so nothing is missed
    assert capsys.readouterr().err == ""
