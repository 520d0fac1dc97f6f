"""Going on with another model: on the whole screen with an engine that follows a script."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from core.conversation import Message
from core.settings import Settings
from tests.tui.support.screen import Screen, notes, said, send, until
from tests.tui.support.scripted import ScriptedEngine, finished, ready, record
from tui.app import LogitscopeApp
from tui.engines.protocol import Cancel, Failed, Inspect, Load, Loading, Ready, Request
from tui.screens.models import ModelsScreen
from tui.session.open_model import OpenModel
from tui.widgets.models.model_list import ModelList
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.status import StatusBar
from weights.library.entry import ModelEntry

HERE = ModelEntry(name="scripted", path=Path("/here/scripted"), context=512)
OTHER = ModelEntry(name="other", path=Path("/here/other"), family="llama", parameters=5, context=300)
LOAD = Load(model="scripted", device="cpu", dtype="float32", context=400)


@pytest.fixture
async def screen(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Screen]:
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path_factory.mktemp("data")))
    monkeypatch.setattr("weights.library.listing.listing", lambda: [HERE, OTHER])
    engine = ScriptedEngine()
    app = LogitscopeApp(engine, Settings(), model="scripted", load=LOAD)
    async with app.run_test(size=(80, 24)) as pilot:
        engine.say(ready(load=LOAD))
        await until(pilot, lambda: app.query_one(StatusBar).state.activity == "ready")
        yield app, engine, pilot


def loads(engine: ScriptedEngine) -> list[Load]:
    return [request for request in engine.requests if isinstance(request, Load)]


def opened(engine: ScriptedEngine, draft: str = "") -> Ready:
    return ready(name="other", load=loads(engine)[-1], context_length=300, draft=draft)


async def pick(pilot: Pilot[None], name: str) -> None:
    await pilot.press("ctrl+o")
    models = pilot.app.screen.query_one(ModelList)
    await until(pilot, lambda: models.chosen is not None)
    await pilot.press(*name, "enter")
    await until(pilot, lambda: not isinstance(pilot.app.screen, ModelsScreen))


async def talk(pilot: Pilot[None], engine: ScriptedEngine, text: str, answer: str) -> None:
    await send(pilot, text)
    engine.tell(record(10, answer), finished(answer))
    await until(pilot, lambda: not pilot.app.query_one(Prompt).busy)


async def test_the_conversation_goes_on_with_another_model(screen: Screen) -> None:
    app, engine, pilot = screen
    await talk(pilot, engine, "Hi", "Hello")
    await pick(pilot, "other")
    assert loads(engine) == [Load(model="/here/other", device="cpu", dtype="float32", context=300)]
    engine.say(Loading(fraction=0.5, what="other"))
    status = app.query_one(StatusBar)
    await until(pilot, lambda: status.state.fraction == 0.5)
    assert status.state.activity == "loading"
    assert status.state.model == "scripted", "until it is open"
    engine.say(opened(engine))
    await until(pilot, lambda: status.state.model == "other")
    assert (status.state.activity, status.state.used, status.state.size) == ("ready", 0, 300)
    assert "other goes on from here" in notes(app)
    await pilot.press("ctrl+up")
    assert not [r for r in engine.requests if isinstance(r, Inspect)], "the new model has nothing in mind yet"
    await send(pilot, "And?")
    assert engine.replies[-1].conversation == (
        Message(role="user", text="Hi"),
        Message(role="assistant", text="Hello", ids=None),
        Message(role="user", text="And?"),
    )


async def test_an_answer_under_way_is_stopped_and_stays_as_text(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hel"))
    await until(pilot, lambda: said(app)[-1][1] == "Hel")
    await pick(pilot, "other")
    kinds: list[type[Request]] = [type(request) for request in engine.requests]
    assert [kind.__name__ for kind in kinds][-2:] == ["Stop", "Load"]
    engine.tell(finished("Hel", "stopped", n=1))
    engine.say(opened(engine))
    await until(pilot, lambda: app.query_one(StatusBar).state.model == "other")
    await send(pilot, "And?")
    assert engine.replies[-1].conversation[1] == Message(role="assistant", text="Hel", ids=None)


async def test_what_is_said_while_it_opens_is_answered_by_the_new_one(screen: Screen) -> None:
    app, engine, pilot = screen
    await talk(pilot, engine, "Hi", "Hello")
    await pick(pilot, "other")
    await send(pilot, "Quick")
    assert all(message.ids is None for message in engine.replies[-1].conversation)
    assert app.query_one(StatusBar).state.activity == "loading"
    engine.say(opened(engine))
    engine.tell(record(10, "Yes"), finished("Yes"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    shown = app.export_screenshot().replace("&#160;", " ")
    assert ">other<" in shown, "who answered stands over the answer"
    await talk(pilot, engine, "More", "And")
    assert engine.replies[-1].conversation[3].ids == (100, 100, 100), "the new model's own tokens are kept"


async def test_escape_goes_back_to_the_model_before(screen: Screen) -> None:
    app, engine, pilot = screen
    await pick(pilot, "other")
    await pilot.press("escape")
    assert isinstance(engine.requests[-1], Cancel)
    engine.say(Loading(fraction=0.2, what="scripted"), ready(load=LOAD))
    await until(pilot, lambda: "other was not opened: scripted is open again" in notes(app))
    assert app.query_one(StatusBar).state.activity == "ready"
    cancels = sum(isinstance(request, Cancel) for request in engine.requests)
    await pilot.press("escape")
    assert sum(isinstance(request, Cancel) for request in engine.requests) == cancels, "nothing is being opened"


async def test_escape_stops_a_question_too_that_waits_for_the_new_model(screen: Screen) -> None:
    app, engine, pilot = screen
    await pick(pilot, "other")
    await send(pilot, "Hi")
    stops = engine.stops
    await pilot.press("escape")
    assert engine.stops == stops + 1
    engine.say(ready(load=LOAD))
    engine.tell(finished("", "stopped", n=0))
    await until(pilot, lambda: app.query_one(Prompt).text == "Hi")


async def test_a_model_that_cannot_be_opened_leaves_the_one_before(screen: Screen) -> None:
    app, engine, pilot = screen
    await talk(pilot, engine, "Hi", "Hello")
    await pick(pilot, "other")
    engine.say(Failed(message="model.safetensors is damaged.", hint="Copy it again.", load=loads(engine)[-1]))
    await until(pilot, lambda: "other was not opened: model.safetensors is damaged. Copy it again." in notes(app))
    status = app.query_one(StatusBar)
    assert (status.state.activity, status.state.model) == ("ready", "scripted")
    engine.say(Loading(fraction=0.2, what="scripted"))
    await until(pilot, lambda: status.state.activity == "loading")
    engine.say(ready(load=LOAD))
    await until(pilot, lambda: status.state.activity == "ready")
    assert "was not opened: scripted" not in notes(app), "said once"
    await talk(pilot, engine, "Still there?", "Yes")
    assert said(app)[-1] == ("assistant", "Yes")


async def test_an_engine_that_dies_on_the_way_leaves_the_one_before(screen: Screen) -> None:
    app, engine, pilot = screen
    await pick(pilot, "other")
    engine.say(Failed(message="The engine has stopped: SIGKILL.", dead=True))
    await until(pilot, lambda: "SIGKILL" in notes(app))
    status = app.query_one(StatusBar)
    assert (status.state.activity, status.state.model) == ("failed", "scripted")
    await send(pilot, "Hi")
    engine.say(ready(load=LOAD))
    engine.tell(record(10, "Yes"), finished("Yes"))
    await until(pilot, lambda: said(app)[-1] == ("assistant", "Yes"))


async def test_the_model_that_is_open_is_not_opened_again(screen: Screen) -> None:
    _, engine, pilot = screen
    await pick(pilot, "scripted")
    assert not loads(engine)


def test_a_context_too_large_for_one_model_is_back_with_the_next() -> None:
    open_model = OpenModel(Load(model="a", context=400))
    assert open_model.switch(OTHER).context == 300
    assert open_model.switch(HERE).context == 400
    assert OpenModel(Load(model="a")).switch(OTHER).context is None


def test_another_model_is_opened_with_the_same_draft_if_it_fits() -> None:
    first = Load(model="a", draft="small")
    assert first.draft_needed, "as it was asked for with this very model"
    assert OpenModel(first).switch(OTHER) == Load(model="/here/other", draft="small", draft_needed=False)


async def test_what_drafts_is_said_and_why_nothing_does(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hello"), replace(finished("Hello"), guesses=9, right_guesses=4))
    await until(pilot, lambda: app.query_one(StatusBar).state.guesses == 9)
    await pick(pilot, "other")
    engine.say(opened(engine, draft="small"))
    await until(pilot, lambda: "small guesses ahead where that makes it faster." in notes(app))
    assert app.query_one(StatusBar).state.guesses == 0, "those were of another model's answer"
    await pick(pilot, "scripted")
    engine.say(ready(load=loads(engine)[-1], draft_fallback_reason="Without a draft: small cannot draft for scripted."))
    await until(pilot, lambda: "Without a draft: small cannot draft for scripted." in notes(app))
