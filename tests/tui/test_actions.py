"""The table of actions: whatever stands in it is everywhere that shows actions, and the README says the same."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import ClassVar

import pytest
from textual.binding import BindingType

from core.settings import Settings
from tests.tui.support.screen import until
from tests.tui.support.scripted import ScriptedEngine
from tui import actions
from tui.action import Action, WidgetKeys
from tui.app import LogitscopeApp
from tui.screens.help import HelpScreen, Sheet

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
STYLES = ROOT / "tui" / "app.tcss"
_KEY = re.compile(r"(?:(?:Ctrl|Alt|Shift)\+)+(?:\w+)|F\d+|Enter|Escape|Tab|Page Up|Page Down|Up|Down")


def keys_in(text: str) -> set[str]:
    """The keys that a text for people names, "F2, F3" and "Ctrl+R" alike."""
    return set(_KEY.findall(text))


def test_no_two_actions_share_an_id_a_key_or_a_name_in_the_palette() -> None:
    for names in (
        [action.id for action in actions.actions()],
        [key for action in actions.actions() for key in action.keys.split(",") if key],
        [action.palette_title or action.title for action in actions.actions() if action.palette],
    ):
        assert [name for name, count in Counter(names).items() if count > 1] == []


def test_every_action_is_one_that_the_application_has() -> None:
    for action in actions.actions():
        assert hasattr(LogitscopeApp, f"action_{action.name}")


def test_every_key_of_an_action_is_told_on_the_help_screen() -> None:
    told = keys_in(" ".join(f"{keys}, {text}" for lines in actions.help_groups().values() for keys, text in lines))
    for action in actions.actions():
        if action.keys:
            assert keys_in(_written(action)) <= told


def test_the_readme_tells_of_the_same_keys() -> None:
    """Those of the application; how the panels are moved is told where one is in them."""
    (table,) = re.findall(r"## Keys\n\n(.*?)\n\n", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    told = keys_in(table)
    for action in actions.actions():
        if action.keys:
            assert keys_in(_written(action)) <= told, f"the README does not tell of {action.title}"
    on_help = " ".join(f"{keys}, {text}" for lines in actions.help_groups().values() for keys, text in lines)
    assert told <= keys_in(on_help) | keys_in("Ctrl+F")


def _written(action: Action) -> str:
    """Its keys as people write them."""
    names = {"Pageup": "Page Up", "Pagedown": "Page Down"}
    keys = ["+".join(part.capitalize() for part in key.split("+")) for key in action.keys.split(",")]
    return ", ".join(names.get(key, key) for key in keys)


EXTRA = Action(
    id="dance",
    call="dance('tango')",
    keys="f9",
    title="Dance",
    in_footer=True,
    place=0,
    in_chat_only=True,
    group="The screen",
    help="dance a little",
    palette="Dance a tango, as far as a terminal can",
)


async def test_another_action_needs_no_more_than_its_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path))
    extra_keys = WidgetKeys(group="Samplers", keys="Ctrl+Alt+Space", help="something of the panel's")
    monkeypatch.setattr(actions, "TABLE", (*actions.TABLE, EXTRA, extra_keys))

    class Dancing(LogitscopeApp):
        CSS_PATH = STYLES
        BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings()]
        danced: ClassVar[list[str]] = []

        def action_dance(self, what: str) -> None:
            self.danced.append(what)

    app = Dancing(ScriptedEngine(), Settings())
    async with app.run_test(size=(132, 50)) as pilot:
        await until(pilot, lambda: len(app.query("FooterKey")) > 5)
        assert any("Dance" in str(key.render()) for key in app.query("FooterKey"))
        await pilot.press("f9")
        assert app.danced == ["tango"]
        await pilot.press("ctrl+p", *"dance")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await until(pilot, lambda: app.danced == ["tango"] * 2)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        lines = app.screen.query_one(Sheet).sheet(90).plain.splitlines()
        assert [line.split(maxsplit=1) for line in lines if "dance" in line] == [["F9", "dance a little"]]
        assert any(line.split(maxsplit=1) == ["Ctrl+Alt+Space", "something of the panel's"] for line in lines)
        await pilot.press("f9")
        assert app.danced == ["tango"] * 2, "below another screen nobody sees it"


def test_the_application_takes_its_keys_from_the_table() -> None:
    assert actions.bindings() == LogitscopeApp.BINDINGS
    footer = [binding.description for binding in actions.bindings() if binding.show]
    assert footer == [
        "Help", "Stop", "Colder", "Hotter", "Models", "Panels", "Samplers", "Again", "New chat", "Quit",
    ]  # fmt: skip
