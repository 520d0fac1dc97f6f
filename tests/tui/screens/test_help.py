from __future__ import annotations

import pytest
from textual.app import App
from textual.containers import VerticalScroll

from core.setting_specs import SPECS
from tui.screens.help import HelpScreen, Sheet, numbers

GROUPS = (
    ("Talking", (("Enter", "send the message"), ("Ctrl+J, Shift+Enter, Alt+Enter", "new line"))),
    ("Odd", (("[/]", "[b]not markup[/b]"),)),
)


async def sheet(app: App[None], size: tuple[int, int]) -> Sheet:
    await app.push_screen(HelpScreen(GROUPS))
    return app.screen.query_one(Sheet)


@pytest.mark.parametrize("size", [(30, 10), (80, 24), (200, 60)])
async def test_every_key_and_every_number_is_there_at_any_size(size: tuple[int, int]) -> None:
    app: App[None] = App()
    async with app.run_test(size=size) as pilot:
        page = await sheet(app, size)
        await pilot.pause()
        shown = [page.render_line(y).text for y in range(page.size.height)]
        said = " ".join(" ".join(shown).split())
        for title, entries in (*GROUPS, *numbers()):
            assert title in said
            for term, explanation in entries:
                assert f" {term} " in f" {said} "
                assert explanation in said
        assert page.size.width <= size[0]


def test_every_setting_but_the_stop_strings_is_explained() -> None:
    (settings,) = [entries for title, entries in numbers() if title == "The settings"]
    assert [term for term, _ in settings] == [spec.label for spec in SPECS.values() if spec.name != "stop"]


@pytest.mark.parametrize("key", ["escape", "f1", "q"])
async def test_it_closes(key: str) -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        await sheet(app, (80, 24))
        assert isinstance(app.screen, HelpScreen)
        await pilot.press(key)
        assert not isinstance(app.screen, HelpScreen)


async def test_keys_scroll_it() -> None:
    app: App[None] = App()
    async with app.run_test(size=(80, 24)) as pilot:
        await sheet(app, (80, 24))
        await pilot.pause()
        await pilot.press("end")
        await pilot.pause(0.1)
        pane = app.screen.query_one(VerticalScroll)
        assert pane.scroll_target_y == pane.max_scroll_y > 0
