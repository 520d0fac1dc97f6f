"""Takes the README's picture from the real program with the bundled model: python tests/screenshot.py [PROMPT]."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from pathlib import Path

from core.settings import Settings
from tui.app import LogitscopeApp
from tui.engines.local import ProcessEngine
from tui.engines.protocol import Load
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.prompt.prompt import Prompt

PICTURE = Path(__file__).parent / "golden" / "chat.svg"
PROMPTS = ("Who are you?", "What is temperature?", "I had a long day.")
CUT = 1  # the last answer ends after so many tokens, at one that could have been many others
SIZE = (132, 50)


async def take(prompts: tuple[str, ...], settings: Settings) -> str:
    engine = ProcessEngine(Load(model="bundled"))
    app = LogitscopeApp(engine, settings, model="bundled")
    async with app.run_test(size=SIZE) as pilot:
        prompt, samplers = app.query_one(Prompt), app.query_one(SamplersPanel)
        for number, text in enumerate(prompts, start=1):
            if number == len(prompts):
                samplers.post_message(SettingChanged("max_tokens", CUT))
                await pilot.pause()
            prompt.text = text
            await pilot.press("enter")
            while prompt.busy:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.3)
        picture = app.export_screenshot(title="logitscope")
    engine.close()
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # no fonts from the network


if __name__ == "__main__":
    os.environ["LOGITSCOPE_DATA"] = tempfile.mkdtemp()
    PICTURE.write_text(asyncio.run(take(tuple(sys.argv[1:]) or PROMPTS, Settings(seed=1))))
    print(PICTURE)
