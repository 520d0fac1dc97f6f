"""The whole screen with published weights, in the real engine's own process."""

from __future__ import annotations

import pytest

from core.settings import Settings
from tests.tui.support.screen import said, send, until
from tests.weights.support.real import smollm2
from tui.app import LogitscopeApp
from tui.engines.local import ProcessEngine
from tui.engines.protocol import Load
from tui.widgets.panels.next_token import NextTokenPanel
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.status import StatusBar

pytestmark = pytest.mark.usefixtures("own_data_folder")


async def test_a_question_is_answered_on_the_screen() -> None:
    engine = ProcessEngine(Load(model=str(smollm2())))
    app = LogitscopeApp(engine, Settings(temperature=0.0, max_tokens=32))
    try:
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda: app.query_one(StatusBar).state.activity == "ready")
            await send(pilot, "What is the capital of France?")
            await until(pilot, lambda: not app.query_one(Prompt).busy)
            assert said(app)[-1] == ("assistant", "The capital of France is Paris.")
            picture = app.export_screenshot()
            assert "Paris" in picture
            assert app.query_one(NextTokenPanel).display
    finally:
        engine.close()
