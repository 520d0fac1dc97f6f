"""What is selected in the chat pane with the mouse, and copied."""

from __future__ import annotations

from textual.pilot import Pilot

from tests.tui.support.chat_pane import Pane, settle
from tui.widgets.transcript.transcript import Transcript


async def select(pilot: Pilot[None], start: tuple[int, int], end: tuple[int, int]) -> None:
    """Drag the mouse from one cell to another."""
    await pilot.mouse_down(Transcript, offset=start)
    await pilot.hover(Transcript, offset=end)
    await pilot.mouse_up(Transcript, offset=end)


async def test_text_selected_with_the_mouse_is_copied_without_padding_or_wraps() -> None:
    app = Pane()
    async with app.run_test(size=(24, 20)) as pilot:
        app.chat.add("user", "one two three four five six")
        app.chat.finish(app.chat.add("assistant", "- a list item that wraps\n\n`code`"))
        await settle(pilot)
        await select(pilot, (1, 1), (20, 8))
        await pilot.press("ctrl+c")
        assert app.clipboard == "one two three four five six\n\nAssistant\n• a list item that wraps\n\ncode"


async def test_a_part_of_a_line_can_be_selected_between_wide_characters() -> None:
    app = Pane()
    async with app.run_test(size=(40, 10)) as pilot:
        app.chat.add("user", "中文字 and more")
        await settle(pilot)
        await select(pilot, (3, 1), (11, 1))
        await pilot.press("ctrl+c")
        assert app.clipboard == "文字 and"


async def test_a_selection_stays_on_its_text_while_the_answer_grows() -> None:
    app = Pane()
    async with app.run_test(size=(40, 12)) as pilot:
        app.chat.add("user", "select me")
        index = app.chat.add("assistant", "so far")
        await settle(pilot)
        await select(pilot, (1, 1), (10, 1))
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
