"""A screen with the chat pane alone, and what can be read there."""

from __future__ import annotations

import asyncio

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.selection import SELECT_ALL

from tui.widgets.transcript.transcript import Transcript

ANSWER = "A *first* paragraph that is long enough to wrap.\n\n- one\n- two\n\n```python\nx = 'code'\n```\n\nLast."


class Pane(App[None]):
    """The transcript alone."""

    def compose(self) -> ComposeResult:
        yield Transcript()

    @property
    def chat(self) -> Transcript:
        return self.query_one(Transcript)

    @property
    def lines(self) -> list[str]:
        """What is on the screen."""
        return [self.chat.render_line(y).text.rstrip() for y in range(self.chat.size.height)]

    @property
    def everything(self) -> str:
        """All that could be scrolled to."""
        found = self.chat.get_selection(SELECT_ALL)
        return found[0] if found else ""


async def settle(pilot: Pilot[None]) -> None:
    """Wait for the redraw that has been put off."""
    assert isinstance(pilot.app, Pane)
    for _ in range(1500):  # half a minute: a busy machine is not a failure
        await pilot.pause()
        if pilot.app.chat.is_drawn:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never drawn")
