"""What is known of a model that runs elsewhere, and what is then not asked of its engine."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.settings import Settings
from tests.tui.support.scripted import READY, ScriptedEngine, ready, record
from tui.controllers import notes
from tui.controllers.last_token import LastToken
from tui.engines.protocol import Capabilities, Load, ModelInfo, Ready
from tui.session.chat import Chat
from tui.session.open_model import OpenModel
from tui.widgets.panels.next_token import NextTokenPanel
from weights.library.suggestions import SUGGESTIONS

REMOTE = Ready(
    model=ModelInfo(name="far away", n_parameters=None, context_length=None, has_template=True),
    local=None,
    capabilities=Capabilities(full_distribution=False, inspect=False, token_ids=False),
)


def test_a_model_that_runs_elsewhere_is_open_as_it_was_asked_for() -> None:
    open_model = OpenModel(Load(model="there"))
    assert open_model.done(REMOTE) == "first"
    assert (open_model.load, open_model.capabilities) == (Load(model="there"), REMOTE.capabilities)
    assert open_model.is_idle
    assert open_model.done(REMOTE) == "again"


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert notes.opened(REMOTE, "first", "", {}) == []
    assert notes.drafting(None) == ""
    assert len(notes.introduction(READY.model)) == 1, "of a thousand parameters"


def test_the_first_words_are_honest_and_offer_the_model_that_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    bundled = ModelInfo(name="bundled", n_parameters=11_000_000, context_length=1024, has_template=True)
    (package,) = (one.package for one in SUGGESTIONS if one.package is not None)
    for installed in (None, package):
        monkeypatch.setattr(notes, "installed_package", lambda installed=installed: installed)
        (said,) = notes.introduction(bundled)
        assert "do not trust its facts" in said
        assert ("smollm2 is here, good for longer English" in said) == (installed is not None)
    (real,) = notes.introduction(replace(bundled, name="smollm2", n_parameters=134_515_008))
    assert "about half as many right as bundled does" in real
    (mute,) = notes.introduction(replace(bundled, name="other", n_parameters=10**9, has_template=False))
    assert "continues the text you give it, and does not answer" in mute


def test_only_an_engine_that_can_tell_is_asked_what_other_settings_would_have_done() -> None:
    for answer, asked in ((READY, 1), (REMOTE, 0), (ready(capabilities=Capabilities(token_ids=False)), 1)):
        engine, open_model = ScriptedEngine(), OpenModel(Load(model="m"))
        last_token = LastToken(engine, open_model, NextTokenPanel())
        open_model.done(answer)
        last_token.show(record(3, "word"))
        last_token.inspect(Settings(temperature=0))
        assert len(engine.requests) == asked


def test_ids_that_are_not_the_models_own_are_not_kept() -> None:
    chat = Chat()
    chat.ask("Hi", Settings())
    chat.write(replace(record(3, "Hel"), id=0))
    assert chat.break_off(with_ids=False) == "Hel"
    assert chat.conversation[-1].ids is None
