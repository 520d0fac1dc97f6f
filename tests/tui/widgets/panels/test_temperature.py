from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.pilot import Pilot

from tests.tui.support.panels import Stage, rows
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.temperature import TemperaturePanel, tidy, track_end

TRACK_ROW = 2  # in the panel, border included
FIRST_CELL = 4  # border, padding, "0 "


def stage(value: float = 0.8, width: int = 50) -> tuple[Stage, TemperaturePanel]:
    panel = TemperaturePanel(value)
    return Stage(panel, width, 5), panel


def values(app: Stage) -> list[float]:
    changes = [message for message in app.posted if isinstance(message, SettingChanged)]
    assert all(change.name == "temperature" for change in changes)
    return [change.value for change in changes if isinstance(change.value, float)]


async def press(app: Stage, pilot: Pilot[None], *keys: str) -> list[float]:
    app.widget.focus()
    await pilot.press(*keys)
    await pilot.pause()
    return values(app)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["right"], 0.85),
        (["left", "left"], 0.7),
        (["shift+right"], 1.05),
        (["pageup"], 1.05),
        (["shift+left"], 0.55),
        (["pagedown"], 0.55),
        (["home"], 0.0),
        (["end"], 2.0),
        (["end", "end"], 5.0),
        (["end", "right"], 2.05),
        (["1", ".", "3", "5", "enter"], 1.35),
        (["1", ",", "3", "5", "enter"], 1.35),
        ([".", "3", "enter"], 0.3),
        (["1", "2", "backspace", ".", "5", "enter"], 1.5),
        (["7", "enter"], 7.0),
    ],
)
async def test_keys_move_it_and_say_so(keys: list[str], expected: float) -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        posted = await press(app, pilot, *keys)
        assert panel.value == expected
        assert posted[-1] == expected


async def test_it_stops_at_zero_and_zero_has_no_sign() -> None:
    app, panel = stage(0.04)
    async with app.run_test() as pilot:
        assert await press(app, pilot, "left", "left", "left") == [0.0]
        assert math.copysign(1, panel.value) == 1
        assert rows(panel)[0].split() == ["0.00", "always", "the", "likeliest", "token"]


@pytest.mark.parametrize(("typed", "told"), [("1..2", "1..2"), ("-1", "-1"), ("1e999", "inf"), ("+nan", "nan")])
async def test_what_is_no_temperature_is_refused_with_its_value_and_nothing_is_lost(typed: str, told: str) -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        assert await press(app, pilot, *typed, "enter") == []
        shown = " ".join(" ".join(rows(panel)).split())
        assert "temperature must be" in shown
        assert told in shown
        assert typed in rows(panel)[0]
        assert panel.value == 0.8
        await pilot.press("escape")
        assert rows(panel)[0].startswith("0.80")


async def test_escape_and_leaving_forget_what_was_typed_and_escape_is_then_free_again() -> None:
    app, panel = stage()
    passed_on: list[str] = []
    async with app.run_test() as pilot:
        app.bind("escape", "escaped")
        app.action_escaped = lambda: passed_on.append("escape")  # type: ignore[attr-defined]
        assert await press(app, pilot, "3", "escape") == []
        assert not panel.is_typing
        assert passed_on == []
        await pilot.press("escape")
        assert passed_on == ["escape"]
        await pilot.press("4")
        app.set_focus(None)
        await pilot.pause()
        assert not panel.is_typing


async def test_a_number_can_be_pasted_whatever_comes_with_it() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        panel.focus()
        panel.post_message(events.Paste(" 1.2\n"))
        await pilot.press("enter")
        assert panel.value == 1.2
        panel.post_message(events.Paste("\x1b[2J" * 1000))
        await pilot.press("enter")
        assert panel.value == 1.2
        assert "\x1b" not in "".join(rows(panel))


async def test_clicking_the_ends_and_the_mark_is_exact() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        mark = rows(panel)[1].index("┼")
        for x, expected in ((FIRST_CELL, 0.0), (mark + 2, 1.0), (45, 2.0)):
            await pilot.click(panel, offset=(x, TRACK_ROW))
            assert panel.value == expected
        assert values(app) == [0.0, 1.0, 2.0]


async def test_a_drag_follows_the_mouse_past_the_panel_and_ends_with_the_button() -> None:
    app, panel = stage()
    async with app.run_test(size=(80, 10)) as pilot:
        await pilot.mouse_down(panel, offset=(FIRST_CELL, TRACK_ROW))
        assert panel.value == 0.0
        await pilot.hover(offset=(70, 8))
        assert panel.value == 2.0
        await pilot.hover(panel, offset=(FIRST_CELL, TRACK_ROW))
        await pilot.mouse_up(panel, offset=(FIRST_CELL, TRACK_ROW))
        assert panel.value == 0.0
        await pilot.hover(panel, offset=(30, TRACK_ROW))
        assert panel.value == 0.0


async def test_the_number_itself_is_no_part_of_the_track() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        await pilot.click(panel, offset=(30, 1))
        assert panel.value == 0.8
        assert app.focused is panel


async def test_the_wheel_moves_it() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        for event in (events.MouseScrollUp, events.MouseScrollUp, events.MouseScrollDown):
            panel.post_message(event(panel, 5, 2, 0, 0, 0, False, False, False))
        await pilot.pause()
        assert values(app) == [0.85, 0.9, 0.85]


async def test_the_app_can_set_it_in_silence_and_nudge_it_aloud() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        panel.set_value(1.2)
        panel.nudge(0.05)
        panel.nudge(-0.05)
        await pilot.pause()
        assert values(app) == [1.25, 1.2]
        panel.nudge(0.001)
        await pilot.pause()
        assert values(app) == [1.25, 1.2]  # nothing that could be seen has changed


@pytest.mark.parametrize("size", [(30, 5), (30, 3), (50, 4), (80, 5)])
async def test_the_knob_is_on_the_track_at_any_value_and_size(size: tuple[int, int]) -> None:
    app, panel = stage()
    panel.styles.width, panel.styles.height = size
    async with app.run_test():
        for value in (0.0, 0.8, 1.0, 2.0, 2.05, 5.0, 5.05, 1e9, 1e300):
            panel.set_value(value)
            assert "".join(rows(panel)).count("●") == 1
            track = next(row for row in rows(panel) if "●" in row)
            assert ("┼" in track) == (value != 1.0)


@given(st.floats(0, 1e12))
def test_the_track_always_reaches_the_value_and_is_not_far_longer(value: float) -> None:
    assert value <= track_end(value) <= max(2.0, 2.5 * value)


@given(st.floats(-1, 1e6))
def test_two_decimals_and_no_negative_zero(value: float) -> None:
    assert tidy(value) == pytest.approx(value, abs=0.0051)
    assert str(tidy(value)) != "-0.0"
