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
from tui.engine_link import ProcessEngine
from tui.protocol import Load
from tui.widgets.prompt import Prompt
from tui.widgets.status import StatusBar

PICTURE = Path(__file__).parent / "golden" / "chat.svg"
PROMPTS = ("Who are you?", "What is temperature?", "Tell me about a dragon and a princess, please.")
SIZE = (132, 50)


async def take(prompts: tuple[str, ...], seed: int) -> str:
    engine = ProcessEngine(Load(model="bundled"))
    app = LogitscopeApp(engine, Settings(seed=seed, temperature=1.1), model="bundled")
    async with app.run_test(size=SIZE) as pilot:
        bar, prompt = app.query_one(StatusBar), app.query_one(Prompt)
        for number, text in enumerate(prompts, start=1):
            prompt.text = text
            await pilot.press("enter")
            last = number == len(prompts)
            while prompt.busy and not (last and bar.status.state == "writing" and bar.status.used > _middle(bar)):
                await asyncio.sleep(0.005)
        picture = app.export_screenshot(title="logitscope")
    engine.close()
    return re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL)  # no fonts from the network


def _middle(bar: StatusBar) -> int:
    """Somewhere in the middle of the last answer."""
    return bar.status.total + 3


if __name__ == "__main__":
    os.environ["LOGITSCOPE_DATA"] = tempfile.mkdtemp()
    PICTURE.write_text(asyncio.run(take(tuple(sys.argv[1:]) or PROMPTS, seed=1)))
    print(PICTURE)
