"""The prompt: what is typed is what is sent, and nothing typed is ever lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual import events, on
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.pilot import Pilot

from tui.session.prompt_history import History
from tui.widgets.prompt.prompt import Prompt

APP_KEYS = [
    "ctrl+q",
    "ctrl+p",
    "f1",
    "f2",
    "f3",
    "f6",
    "f7",
    "f10",
    "ctrl+up",
    "ctrl+down",
    "alt+up",
    "alt+down",
    "alt+left",
    "alt+right",
    "ctrl+o",
    "ctrl+r",
    "ctrl+n",
    "ctrl+t",
    "ctrl+g",
    "escape",
    "pageup",
    "pagedown",
]


class Desk(App[None]):
    """A prompt alone, what it posts, and which keys reach the application."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS = [Binding(key, f"reached('{key}')") for key in APP_KEYS]  # noqa: RUF012

    def __init__(self, history: History) -> None:
        super().__init__()
        self._history = history
        self.posted: list[Message] = []
        self.reached: list[str] = []

    def compose(self) -> ComposeResult:
        yield Prompt(history=self._history)

    @on(Prompt.Submitted)
    @on(Prompt.Refused)
    def _note(self, message: Message) -> None:
        self.posted.append(message)

    def action_reached(self, key: str) -> None:
        self.reached.append(key)

    @property
    def prompt(self) -> Prompt:
        return self.query_one(Prompt)

    @property
    def sent(self) -> list[str]:
        return [message.text for message in self.posted if isinstance(message, Prompt.Submitted)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(History(tmp_path / "history"))


async def paste(pilot: Pilot[None], text: str) -> None:
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


async def test_enter_sends_and_empties(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await pilot.press(*"hi", "enter")
        assert desk.sent == ["hi"]
        assert desk.prompt.text == ""


@pytest.mark.parametrize("key", ["ctrl+j", "shift+enter"])
async def test_a_new_line_is_part_of_the_message(desk: Desk, key: str) -> None:
    async with desk.run_test() as pilot:
        await pilot.press("a", key, "b", "enter")
        assert desk.sent == ["a\nb"]


async def test_keys_that_come_faster_than_they_are_handled_keep_their_order(desk: Desk) -> None:
    """As from a slow line, a script or a terminal without bracketed paste; Pilot waits after each key."""
    async with desk.run_test() as pilot:
        keys = ("a", "ctrl+j", "b", "x", "backspace", "enter", "c", "up", "left", "d", "enter", "e")
        for key in keys:
            desk.post_message(events.Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert desk.sent == ["a\nb", "a\ndb"]
        assert desk.prompt.text == "e"


async def test_nothing_is_not_sent(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await pilot.press("enter", "space", "ctrl+j", "enter")
        assert desk.posted == []
        assert desk.prompt.text == " \n"


async def test_a_message_is_given_back_unless_another_is_being_written(desk: Desk) -> None:
    async with desk.run_test():
        assert desk.prompt.give_back("hello")
        assert not desk.prompt.give_back("too late")
        assert desk.prompt.text == "hello"


async def test_while_busy_the_text_stays(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        desk.prompt.busy = True
        await pilot.press(*"next", "enter", "!")
        assert [type(message) for message in desk.posted] == [Prompt.Refused]
        assert desk.prompt.text == "next!"
        desk.prompt.busy = False
        await pilot.press("enter")
        assert desk.sent == ["next!"]


async def test_up_and_down_walk_the_history_and_keep_the_draft(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await pilot.press(*"one", "enter", *"two", "enter", *"draft")
        shown = []
        for key in ("up", "up", "up", "down", "down", "down"):
            await pilot.press(key)
            shown.append(desk.prompt.text)
        assert shown == ["two", "one", "one", "two", "draft", "draft"]


async def test_what_was_changed_in_an_earlier_message_is_kept_too(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await pilot.press(*"one", "enter", *"two", "enter", "up", "!", "up", "down")
        assert desk.prompt.text == "two!"
        assert desk.prompt.past.texts == ["one", "two"]


async def test_up_first_moves_through_the_lines_of_the_message(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await pilot.press(*"old", "enter", "a", "ctrl+j", "b", "up")
        assert desk.prompt.text == "a\nb"
        assert desk.prompt.cursor_location == (0, 1)
        await pilot.press("up")
        assert desk.prompt.text == "old"


async def test_up_first_moves_through_the_rows_of_a_wrapped_line(desk: Desk) -> None:
    async with desk.run_test(size=(20, 10)) as pilot:
        await pilot.press(*"old", "enter", *"word and word and word", "up")
        assert desk.prompt.text == "word and word and word"
        await pilot.press("up")
        assert desk.prompt.text == "old"


async def test_the_next_session_remembers(desk: Desk, tmp_path: Path) -> None:
    async with desk.run_test() as pilot:
        await pilot.press(*"hello", "enter")
    again = Desk(History(tmp_path / "history"))
    async with again.run_test() as pilot:
        await pilot.press("up")
        assert again.prompt.text == "hello"


async def test_it_grows_with_the_text_up_to_eight_rows(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        heights = []
        for _ in range(10):
            await pilot.pause()
            heights.append(desk.prompt.content_size.height)
            await pilot.press("ctrl+j")
        assert heights == [1, 2, 3, 4, 5, 6, 7, 8, 8, 8]
        await pilot.press("a", "enter")
        await pilot.pause()
        assert desk.prompt.content_size.height == 1


@pytest.mark.parametrize("key", APP_KEYS)
async def test_keys_of_the_application_reach_it(desk: Desk, key: str) -> None:
    async with desk.run_test() as pilot:
        await pilot.press("x", key)
        assert desk.reached == [key]
        assert desk.prompt.text == "x"


async def test_a_megabyte_is_folded_and_sent_whole(desk: Desk) -> None:
    pasted = "word " * 209_715
    async with desk.run_test() as pilot:
        await pilot.press(*"see ")
        await paste(pilot, pasted)
        await pilot.press(*" ok")
        assert desk.prompt.document.text == "see [pasted #1: 1,048,575 characters] ok"
        assert desk.prompt.text == f"see {pasted} ok"
        await pilot.press("enter")
        assert desk.sent == [f"see {pasted} ok"]


async def test_two_pastes_of_the_same_length_are_not_mixed_up(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await paste(pilot, "a" * 5000)
        await paste(pilot, "b" * 5000)
        await pilot.press("enter")
        assert desk.sent == ["a" * 5000 + "b" * 5000]


@pytest.mark.parametrize("keys", [("backspace",), ("left", "left", "backspace"), ("home", "delete"), ("ctrl+w",)])
async def test_a_folded_paste_is_deleted_as_one_and_can_be_brought_back(desk: Desk, keys: tuple[str, ...]) -> None:
    async with desk.run_test() as pilot:
        await paste(pilot, "x" * 5000)
        await pilot.press(*keys)
        assert desk.prompt.text == ""
        await pilot.press("ctrl+z")
        assert desk.prompt.text == "x" * 5000


async def test_nothing_is_written_into_a_folded_paste(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await paste(pilot, "x" * 5000)
        await pilot.press("left", "left", "left", "!")
        assert desk.prompt.text == "x" * 5000 + "!"


async def test_a_long_message_comes_back_from_the_history_whole(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await paste(pilot, "x" * 5000)
        await pilot.press("enter", "up")
        assert len(desk.prompt.document.text) < 50
        await pilot.press("enter")
        assert desk.sent == ["x" * 5000] * 2


async def test_a_text_that_only_looks_like_a_label_is_a_text(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await paste(pilot, "[pasted #1: 5,000 characters]")
        await pilot.press("enter")
        assert desk.sent == ["[pasted #1: 5,000 characters]"]


async def test_pasted_text_is_made_harmless(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        for text in ("a\r\nb\rc", "\x1b[2J", "\x9b", "\r"):
            await paste(pilot, text)
        assert desk.prompt.text == "a\nb\nc␛[2J⟨9B⟩\n"


async def test_copying_a_folded_paste_copies_what_it_stands_for(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        await paste(pilot, "x" * 5000)
        desk.prompt.select_all()
        await pilot.press("ctrl+c")
        assert desk.clipboard == "x" * 5000


async def test_a_program_can_put_a_text_back(desk: Desk) -> None:
    async with desk.run_test() as pilot:
        desk.prompt.text = "as before"
        await pilot.press("!")
        assert desk.prompt.text == "as before!"
