"""The chat pane on a screen: what is said and seen there."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tui.support.chat_pane import ANSWER, Pane, settle
from tui.widgets.transcript.transcript import Transcript


async def test_who_said_what() -> None:
    app = Pane()
    async with app.run_test(size=(40, 12)) as pilot:
        app.chat.add("user", "What is **this**?")
        app.chat.finish(app.chat.add("assistant", "It is **that**.", name="textbook"), "3 tokens")
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


async def test_many_deltas_are_few_redraws(parsed: list[str]) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        for _ in range(200):
            app.chat.append(index, "word ")
        await settle(pilot)
        assert 0 < len(parsed) < 20
        assert app.chat.text_of(index) == "word " * 200


async def test_closed_blocks_are_parsed_once(parsed: list[str]) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        index = app.chat.add("assistant")
        for word in ("first\n\n", "sec", "ond\n\n", "third", " and", " more"):
            app.chat.append(index, word)
            await settle(pilot)
        await pilot.resize_terminal(30, 10)
        assert sum(source.startswith("first") for source in parsed) <= 3  # open, open before an unfinished line, closed


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


async def test_hostile_text_never_reaches_the_driver() -> None:
    hostile = "\x1b]52;c;aGk=\x07 \x9b2J \x7f \ud800 \u202e [red]x[/] [/] [@click=app.quit]q[/] <http://a/%1b[2J>"
    app = Pane()
    async with app.run_test(size=(60, 40)) as pilot:
        for role in ("user", "assistant", "system"):
            app.chat.add(role, hostile)
        app.chat.finish(app.chat.add("assistant", f"```{hostile}\n{hostile}\n```", name=hostile), hostile)
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


@pytest.mark.parametrize("text", ["a" * 2**20, "word " * 2**18, "- item\n" * 2**12])
async def test_a_huge_message_is_all_there(text: str) -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.add("user", text)
        await settle(pilot)
        assert app.everything.removeprefix("You\n").rstrip() == text.rstrip()


def test_the_heavy_parts_are_not_imported_for_the_first_frame() -> None:
    code = (
        "import sys, tui.widgets.transcript.transcript, tui.widgets.prompt.prompt;"
        "print({'torch', 'markdown_it', 'pygments'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
