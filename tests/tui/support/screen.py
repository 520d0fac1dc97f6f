"""The whole screen as a person has it: what is typed, awaited and read there. Knows no test."""

from __future__ import annotations

from collections.abc import Callable

from textual.pilot import Pilot

from tests.tui.support.scripted import ScriptedEngine
from tui.app import LogitscopeApp
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.transcript.transcript import Transcript

Screen = tuple[LogitscopeApp, ScriptedEngine, Pilot[None]]


async def until(pilot: Pilot[None], wanted: Callable[[], bool]) -> None:
    for _ in range(1500):  # half a minute: a busy machine is not a failure
        if wanted():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to that")


async def send(pilot: Pilot[None], text: str) -> None:
    pilot.app.query_one(Prompt).text = text
    await pilot.press("enter")


def said(app: LogitscopeApp) -> list[tuple[str, str]]:
    return [(role, text) for role, text in app.query_one(Transcript).messages if role != "note"]


def notes(app: LogitscopeApp) -> str:
    return "\n".join(text for role, text in app.query_one(Transcript).messages if role == "note")
