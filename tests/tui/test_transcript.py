"""The chat pane on a screen: what is seen, where it scrolls, what is copied."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.geometry import Region
from textual.pilot import Pilot
from textual.selection import SELECT_ALL

from tui.widgets import entry as entry_module
from tui.widgets.transcript import Transcript

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
    for _ in range(200):
        await pilot.pause()
        if pilot.app.chat.is_drawn:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("never drawn")


async def test_who_said_what() -> None:
    app = Pane()
    async with app.run_test(size=(40, 12)) as pilot:
        app.chat.model_name = "textbook"
        app.chat.add("user", "What is **this**?")
        app.chat.finish(app.chat.add("assistant", "It is **that**."), "3 tokens")
        app.chat.add_note("Careful.", "warning")
        await settle(pilot)
        assert app.lines[:9] == [
            *("You", "What is **this**?", ""),
            *("textbook", "It is that.", "3 tokens", ""),
            *("▲ Careful.", ""),
        ]
        assert app.chat.messages == [
            ("user", "What is **this**?"),
            ("assistant", "It is **that**."),
            ("note", "Careful."),
        ]


async def test_a_streamed_answer_looks_like_a_loaded_one_cell_by_cell() -> None:
    streamed, loaded = Pane(), Pane()
    async with streamed.run_test(size=(40, 20)) as pilot:
        index = streamed.chat.add("assistant")
        for start in range(0, len(ANSWER), 7):
            streamed.chat.append(index, ANSWER[start : start + 7])
            if start % 3 == 0:
                await pilot.pause()
        streamed.chat.finish(index, "end")
        seen = [list(streamed.chat.render_line(y)) for y in range(20)]
    async with loaded.run_test(size=(40, 20)):
        loaded.chat.finish(loaded.chat.add("assistant", ANSWER), "end")
        assert seen == [list(loaded.chat.render_line(y)) for y in range(20)]


async def test_what_was_appended_is_on_the_screen_soon_without_another_call() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        for word in ("one", "two", "three", "four"):
            app.chat.append(index, f"{word} ")
        await settle(pilot)
        assert "one two three four" in app.everything


async def test_many_deltas_are_few_redraws(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        parsed: list[str] = []
        parse = entry_module.parse
        monkeypatch.setattr(entry_module, "parse", lambda source: parsed.append(source) or parse(source))
        for _ in range(200):
            app.chat.append(index, "word ")
        await settle(pilot)
        assert 0 < len(parsed) < 20
        assert app.chat.text_of(index) == "word " * 200


async def test_closed_blocks_are_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        parsed: list[str] = []
        parse = entry_module.parse
        monkeypatch.setattr(entry_module, "parse", lambda source: parsed.append(source) or parse(source))
        for word in ("first\n\n", "sec", "ond\n\n", "third", " and", " more"):
            app.chat.append(index, word)
            await settle(pilot)
        await pilot.resize_terminal(30, 10)
        assert sum(source.startswith("first") for source in parsed) <= 3  # open, open before an unfinished line, closed


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


async def on_a_tall_screen(messages: list[str]) -> list[str]:
    """All lines there are, without any scrolling."""
    app = Pane()
    async with app.run_test(size=(40, 600)) as pilot:
        for text in messages:
            app.chat.add("assistant", text)
        await settle(pilot)
        return app.lines[: app.chat.virtual_size.height]


async def test_scrolling_up_through_messages_never_seen_shows_each_line_once() -> None:
    expected = await on_a_tall_screen(GUESSED_WRONG * 2)
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.focus()
        for text in GUESSED_WRONG * 2:
            app.chat.add("assistant", text)
        await settle(pilot)
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
        for text in GUESSED_WRONG * 2:
            app.chat.add("assistant", text)
        await settle(pilot)
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


async def test_a_new_theme_is_drawn_in_its_colours() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.add("user", "hello")
        await settle(pilot)
        before = list(app.chat.render_line(0))
        app.theme = "textual-light"
        await pilot.pause()
        after = list(app.chat.render_line(0))
        assert [segment.text for segment in before] == [segment.text for segment in after]
        assert before != after


async def test_text_selected_with_the_mouse_is_copied_without_padding_or_wraps() -> None:
    app = Pane()
    async with app.run_test(size=(24, 20)) as pilot:
        app.chat.add("user", "one two three four five six")
        app.chat.finish(app.chat.add("assistant", "- a list item that wraps\n\n`code`"))
        await settle(pilot)
        await pilot.mouse_down(Transcript, offset=(1, 1))
        await pilot.hover(Transcript, offset=(20, 8))
        await pilot.mouse_up(Transcript, offset=(20, 8))
        await pilot.press("ctrl+c")
        assert app.clipboard == "one two three four five six\n\nAssistant\n• a list item that wraps\n\ncode"


async def test_a_part_of_a_line_can_be_selected_between_wide_characters() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.add("user", "中文字 and more")
        await settle(pilot)
        await pilot.mouse_down(Transcript, offset=(3, 1))
        await pilot.hover(Transcript, offset=(11, 1))
        await pilot.mouse_up(Transcript, offset=(11, 1))
        await pilot.press("ctrl+c")
        assert app.clipboard == "文字 and"


async def test_a_selection_stays_on_its_text_while_the_answer_grows() -> None:
    app = Pane()
    async with app.run_test(size=(40, 12)) as pilot:
        app.chat.add("user", "select me")
        index = app.chat.add("assistant", "so far")
        await settle(pilot)
        await pilot.mouse_down(Transcript, offset=(1, 1))
        await pilot.hover(Transcript, offset=(10, 1))
        await pilot.mouse_up(Transcript, offset=(10, 1))
        for number in range(40):
            app.chat.append(index, f"\n\n{number}")
        await settle(pilot)
        await pilot.press("ctrl+c")
        assert app.clipboard == "select me"


async def test_a_double_click_selects_the_message() -> None:
    app = Pane()
    async with app.run_test(size=(40, 20)) as pilot:
        app.chat.add("user", "not this")
        app.chat.finish(app.chat.add("assistant", "this\n\nand this"), "suffix")
        await settle(pilot)
        await pilot.double_click(Transcript, offset=(3, 4))
        await pilot.press("ctrl+c")
        assert app.clipboard == "this\n\nand this"


async def test_hostile_text_never_reaches_the_driver() -> None:
    hostile = "\x1b]52;c;aGk=\x07 \x9b2J \x7f \ud800 \u202e [red]x[/] [/] [@click=app.quit]q[/] <http://a/%1b[2J>"
    app = Pane()
    async with app.run_test(size=(60, 40)) as pilot:
        for role in ("user", "assistant", "system"):
            app.chat.add(role, hostile)
        app.chat.model_name = hostile
        app.chat.finish(app.chat.add("assistant", f"```{hostile}\n{hostile}\n```"), hostile)
        app.chat.add_note(hostile, "error")
        await settle(pilot)
        drawn = "".join(app.lines)
        assert drawn.count("]52;c;aGk=") >= 6
        assert not set(drawn) & set("\x1b\x07\x9b\x7f\ud800\u202e")
        for y in range(40):
            for segment in app.chat.render_line(y):
                assert not segment.style or not segment.style.link


async def test_clear_and_start_again() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        for _ in range(30):
            app.chat.add("user", "old")
        await settle(pilot)
        app.chat.clear()
        assert app.chat.messages == []
        assert not any(app.lines)
        assert app.chat.add("user", "new") == 0
        await settle(pilot)
        assert [line.strip() for line in app.lines[:2]] == ["You", "new"]


async def test_set_text_replaces_what_was_streamed() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        app.chat.append(index, "wrong\n\nvery wrong")
        await settle(pilot)
        app.chat.set_text(index, "right")
        assert app.everything.split() == ["Assistant", "right"]


async def test_messages_may_come_before_the_screen_does() -> None:
    app = Pane()
    chat = Transcript()
    chat.add("user", "early")
    chat.append(chat.add("assistant"), "bird")
    app.compose = lambda: iter([chat])  # type: ignore[method-assign]
    async with app.run_test(size=(40, 10)) as pilot:
        await settle(pilot)
        assert app.everything.split() == ["You", "early", "Assistant", "bird"]


async def test_only_what_is_in_view_is_laid_out(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        parsed: list[str] = []
        parse = entry_module.parse
        monkeypatch.setattr(entry_module, "parse", lambda source: parsed.append(source) or parse(source))
        for number in range(1000):
            app.chat.add("assistant", f"message {number}")
        await settle(pilot)
        await pilot.resize_terminal(30, 10)
        await pilot.press("home")
        assert len(parsed) < 100


@pytest.mark.parametrize("text", ["a" * 2**20, "word " * 2**18, "- item\n" * 2**12])
async def test_a_huge_message_is_all_there(text: str) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.add("user", text)
        await settle(pilot)
        assert app.everything.removeprefix("You\n").rstrip() == text.rstrip()


def test_the_heavy_parts_are_not_imported_for_the_first_frame() -> None:
    code = (
        "import sys, tui.widgets.transcript, tui.widgets.prompt;"
        "print({'torch', 'markdown_it', 'pygments'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


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
