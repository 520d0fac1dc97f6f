"""Where the chat pane scrolls, what stays in view, and what is painted and laid out for it."""

from __future__ import annotations

from typing import Any

import pytest
from textual import events
from textual.geometry import Region
from textual.pilot import Pilot

from tests.tui.support.chat_pane import ANSWER, Pane, settle
from tui.widgets.transcript.transcript import Transcript


async def test_it_follows_the_end() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        for number in range(40):
            app.chat.append(index, f"- line {number}\n")
        await settle(pilot)
        assert app.lines[-2].strip() == "• line 39"
        assert app.chat.is_following


@pytest.mark.parametrize("away", ["pageup", "up", "home"])
async def test_it_stays_where_the_person_reads_and_follows_again_from_the_end(away: str) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.focus()
        index = app.chat.add("assistant", "".join(f"- line {number}\n" for number in range(40)))
        await settle(pilot)
        await pilot.press(away)
        before = app.lines
        assert "more below" in before[-1]
        for number in range(40, 60):
            app.chat.append(index, f"- line {number}\n")
        await settle(pilot)
        assert app.lines == before
        await pilot.press("end")
        assert app.lines[-2].strip() == "• line 59"
        app.chat.append(index, "- line 60\n")
        await settle(pilot)
        assert app.lines[-2].strip() == "• line 60"


async def test_the_wheel_scrolls_and_the_hint_leads_back() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.add("assistant", "".join(f"- line {number}\n" for number in range(40)))
        await settle(pilot)
        await pilot._post_mouse_events([events.MouseScrollUp], Transcript)
        assert not app.chat.is_following
        await pilot.click(Transcript, offset=(36, 9))
        await pilot.pause()
        assert app.chat.is_following
        assert app.lines[-2].strip() == "• line 39"


async def test_ones_own_message_comes_into_view() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.focus()
        app.chat.add("assistant", "".join(f"- line {number}\n" for number in range(40)))
        await settle(pilot)
        await pilot.press("home")
        app.chat.add("user", "my question")
        await settle(pilot)
        assert "my question" in app.lines[-2]


GUESSED_WRONG = [
    *("\n".join(f"joined {n}.{k}" for k in range(12)) for n in range(5)),  # too high: these lines are joined
    *("# apart\n" * 12 + f"- {n}\n" for n in range(5)),  # too low: these are set apart
]


async def add_answers(pilot: Pilot[None], texts: list[str]) -> None:
    assert isinstance(pilot.app, Pane)
    for text in texts:
        pilot.app.chat.add("assistant", text)
    await settle(pilot)


async def on_a_tall_screen(messages: list[str]) -> list[str]:
    """All lines there are, without any scrolling."""
    app = Pane()
    async with app.run_test(size=(40, 600)) as pilot:
        await add_answers(pilot, messages)
        return app.lines[: app.chat.virtual_size.height]


async def test_scrolling_up_through_messages_never_seen_shows_each_line_once() -> None:
    expected = await on_a_tall_screen(GUESSED_WRONG * 2)
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.focus()
        await add_answers(pilot, GUESSED_WRONG * 2)
        assert app.lines == expected[-10:]
        for top in range(len(expected) - 11, -1, -1):
            await pilot.press("up")
            assert app.lines[:9] == expected[top : top + 9]
        assert app.chat.scroll_offset.y == 0


async def test_jumping_into_messages_never_seen_and_reading_on_shows_each_line_once() -> None:
    expected = await on_a_tall_screen(GUESSED_WRONG * 2)
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.focus()
        await add_answers(pilot, GUESSED_WRONG * 2)
        await pilot.press("home")
        for top in range(len(expected) - 10):
            assert app.lines[:9] == expected[top : top + 9]
            await pilot.press("down")
        assert app.chat.is_following


async def test_the_message_being_read_stays_in_view_when_the_width_changes() -> None:
    app = Pane()
    async with app.run_test(size=(80, 12)) as pilot:
        app.chat.focus()
        for number in range(100):
            app.chat.add("user", f"message {number} " + "with words enough to wrap at every width " * 4)
        await settle(pilot)
        for _ in range(5):
            await pilot.press("pageup")
        middle = next(line for line in app.lines if "message" in line).split()[1]
        for width in (30, 120, 80):
            await pilot.resize_terminal(width, 12)
            await pilot.pause()
            assert any(line.split()[1:2] == [middle] for line in app.lines if "message" in line)


async def test_everything_fits_the_new_width() -> None:
    app = Pane()
    async with app.run_test(size=(80, 30)) as pilot:
        app.chat.add("user", "中文 and words " * 10)
        app.chat.finish(app.chat.add("assistant", ANSWER))
        for width in (20, 41, 100):
            await pilot.resize_terminal(width, 30)
            await pilot.pause()
            assert {app.chat.render_line(y).cell_length for y in range(30)} == {
                app.chat.scrollable_content_region.width
            }


async def test_only_what_is_in_view_is_laid_out(parsed: list[str]) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        for number in range(1000):
            app.chat.add("assistant", f"message {number}")
        await settle(pilot)
        await pilot.resize_terminal(30, 10)
        await pilot.press("home")
        assert len(parsed) < 100


async def test_more_words_paint_the_lines_they_are_on_and_lay_nothing_out(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Pane()
    async with app.run_test(size=(40, 12)) as pilot:
        app.chat.add("user", "Hello")
        index = app.chat.add("assistant", "First line, ")
        await settle(pilot)
        painted: list[int] = []
        laid_out: list[bool] = []
        refresh = app.chat.refresh

        def watched(*regions: Region, layout: bool = False, **options: Any) -> Any:
            painted.extend(y for region in regions for y in region.line_range)
            laid_out.append(layout or not regions)
            return refresh(*regions, layout=layout, **options)

        monkeypatch.setattr(app.chat, "refresh", watched)
        app.chat.append(index, "more")
        await settle(pilot)
        (line,) = {*painted}
        assert app.lines[line].strip() == "First line, more"
        assert not any(laid_out)
        app.chat.append(index, "\n\nAnother paragraph")  # the height changes, and all of it still fits
        await settle(pilot)
        assert not any(laid_out)
        assert app.chat.virtual_size.height == app.chat.vertical_scrollbar.window_virtual_size
        monkeypatch.undo()
        await pilot.pause()
        assert "Another paragraph" in "\n".join(app.lines)


async def test_the_scroll_bar_knows_of_lines_that_came_later() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        for number in range(40):
            app.chat.append(index, f"Line {number}.\n\n")
            await settle(pilot)
        assert app.chat.vertical_scrollbar.window_virtual_size == app.chat.virtual_size.height > 40
        assert app.chat.vertical_scrollbar.position == app.chat.max_scroll_y
        assert any("Line 39." in line for line in app.lines)
