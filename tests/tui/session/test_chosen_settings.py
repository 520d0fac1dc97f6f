"""Whose settings are in force: the person's, the model's makers', ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.errors import BadSetting
from core.settings import Settings
from tests.tui.support.screen import notes, until
from tests.tui.support.scripted import READY, ScriptedEngine, ready
from tui.app import LogitscopeApp
from tui.controllers.notes import recommended
from tui.session.chosen_settings import ChosenSettings
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.temperature import TemperaturePanel

THEIRS = {"temperature": 0.6, "top_k": 20, "repetition_penalty": 1.05}


def test_what_nobody_chose_is_as_the_makers_wish() -> None:
    choices = ChosenSettings(Settings())
    assert choices.recommend(THEIRS)
    assert choices.settings == Settings(temperature=0.6, top_k=20, repetition_penalty=1.05)
    assert not choices.recommend(THEIRS)
    choices.recommend({})
    assert choices.settings == Settings(), "the next model's makers say nothing"


def test_what_the_person_chose_stays_whatever_model_it_is() -> None:
    choices = ChosenSettings(Settings(top_p=0.5), {"temperature": 0.8})
    choices.recommend(THEIRS)
    assert choices.settings == Settings(top_p=0.5, top_k=20, repetition_penalty=1.05), "0.8 is ours, but was asked for"
    choices.choose("top_k", 7)
    choices.recommend({"top_k": 99})
    assert choices.settings.top_k == 7
    assert choices.settings.repetition_penalty == 1


def test_what_was_moved_counts_as_chosen_and_nothing_else_does() -> None:
    choices = ChosenSettings(Settings())
    choices.recommend(THEIRS)
    choices.choose("min_p", 0.1)
    assert choices.given == {"min_p": 0.1}
    with pytest.raises(BadSetting):
        choices.choose("min_p", 1.5)
    assert choices.settings.min_p == 0.1


def test_it_is_said_what_is_used() -> None:
    model = replace(READY.model, sampling=THEIRS)
    assert recommended(READY.model, {}) == ""
    assert recommended(model, {}) == ("This model's own settings are used: temperature 0.6, top-k 20, repetition 1.05.")
    assert recommended(model, {"top_k": 7, "seed": 1}).endswith("temperature 0.6, repetition 1.05. Yours stay: top-k.")
    assert recommended(model, THEIRS) == "Yours stay: temperature, top-k, repetition."


async def test_on_the_screen(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path_factory.mktemp("data")))
    engine = ScriptedEngine()
    app = LogitscopeApp(engine, Settings(seed=5), given={"seed": 5, "temperature": 0.8})
    async with app.run_test(size=(120, 52)) as pilot:
        engine.say(ready(sampling=THEIRS))
        await until(pilot, lambda: "own settings are used: top-k 20, repetition 1.05. Yours stay" in notes(app))
        wanted = Settings(seed=5, top_k=20, repetition_penalty=1.05)
        assert engine.settings == app.query_one(SamplersPanel).settings == wanted
        await pilot.press("ctrl+down")
        assert engine.settings == replace(wanted, temperature=0.75)
        engine.say(ready(name="again", sampling={"temperature": 0.1, "top_k": 3}))
        await until(pilot, lambda: engine.settings.top_k == 3)
        assert engine.settings == Settings(seed=5, temperature=0.75, top_k=3)
        assert app.query_one(TemperaturePanel).value == 0.75
