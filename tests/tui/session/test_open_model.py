"""What is known of a model that runs elsewhere, and what is then not asked of its engine."""

from __future__ import annotations

from dataclasses import replace

from core.settings import Settings
from tests.tui.support.scripted import READY, ScriptedEngine, ready, record
from tui.controllers import notes
from tui.controllers.last_token import LastToken
from tui.engines.protocol import Capabilities, Load, ModelInfo, Ready
from tui.session.chat import Chat
from tui.session.open_model import OpenModel
from tui.widgets.panels.next_token import NextTokenPanel

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
