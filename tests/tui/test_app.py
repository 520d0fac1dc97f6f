"""The whole screen with an engine that follows a script."""

from __future__ import annotations

import pytest

from core.conversation import Message
from core.records import Prefill
from core.settings import Settings
from tests.tui.support.panels import rows
from tests.tui.support.screen import Screen, notes, said, send, until
from tests.tui.support.scripted import ScriptedEngine, finished, prediction, record
from tui.actions import help_groups
from tui.app import LogitscopeApp
from tui.engines.protocol import Compiling, Failed, Inspect, Inspected, Loading, Reply
from tui.widgets.panels.next_token import NextTokenPanel
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.temperature import TemperaturePanel
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.status import StatusBar
from tui.widgets.transcript.transcript import Transcript

pytestmark = pytest.mark.usefixtures("own_data_folder")


async def test_loading_is_shown_and_the_prompt_works_before_the_model_does() -> None:
    engine = ScriptedEngine()
    app = LogitscopeApp(engine, Settings())
    async with app.run_test() as pilot:
        engine.say(Loading(fraction=0.5, what="torch"))
        await send(pilot, "early")
        await until(pilot, lambda: app.query_one(StatusBar).state.fraction == 0.5)
        assert [reply.conversation[-1].text for reply in engine.replies] == ["early"]


async def test_that_something_is_compiled_is_shown_and_the_chat_goes_on(screen: Screen) -> None:
    app, engine, pilot = screen
    engine.say(Compiling(True))
    await until(pilot, lambda: "(compiling)" in app.query_one(StatusBar).render().plain)
    await send(pilot, "Hi")
    engine.tell(Prefill(done=5, total=10, reused=0, dropped=0))
    await until(pilot, lambda: app.query_one(StatusBar).state.activity == "reading")
    engine.say(Compiling(False))
    await until(pilot, lambda: not app.query_one(StatusBar).state.compiling)
    engine.say(Compiling(True), Failed(message="It died.", dead=True))
    await until(pilot, lambda: app.query_one(StatusBar).state.activity == "failed")
    assert not app.query_one(StatusBar).state.compiling


async def test_an_answer_streams_into_the_chat_and_the_panel(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(Prefill(done=5, total=10, reused=0, dropped=0))
    await until(pilot, lambda: app.query_one(StatusBar).state.activity == "reading")
    engine.tell(record(10, "Hel"), record(11, "lo"))
    await until(pilot, lambda: said(app)[-1] == ("assistant", "Hello"))
    assert app.query_one(StatusBar).state.activity == "writing"
    assert app.query_one(StatusBar).state.used == 12
    engine.tell(finished("Hello"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    assert app.query_one(StatusBar).state.used == 10 + 4, "prompt and completion"
    await send(pilot, "And?")
    assert engine.replies[-1].conversation == (
        Message(role="user", text="Hi"),
        Message(role="assistant", text="Hello", ids=(100, 100, 100)),
        Message(role="user", text="And?"),
    )


async def test_the_temperature_moves_from_the_prompt_and_in_the_middle_of_an_answer(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hel"))
    await pilot.press("ctrl+up", "ctrl+up", "ctrl+down", "ctrl+up")
    await until(pilot, lambda: engine.settings.temperature == 0.9)
    assert app.query_one(TemperaturePanel).value == 0.9
    assert app.query_one(SamplersPanel).settings.temperature == 0.9
    assert isinstance(app.focused, Prompt)
    assert not [r for r in engine.requests if isinstance(r, Inspect)], "nothing is inspected while it writes"


async def test_with_nothing_running_the_last_choice_is_inspected_under_the_new_settings(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hello"), record(11, "", ends=True), finished("Hello"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    await pilot.press("ctrl+up")
    await until(pilot, lambda: any(isinstance(r, Inspect) for r in engine.requests))
    asked = next(r for r in engine.requests if isinstance(r, Inspect))
    assert asked.position == 11
    assert asked.settings.temperature == 0.85
    panel = app.query_one(NextTokenPanel)
    await until(pilot, lambda: "inspected" in "".join(text for row in panel.lines(60, 30) for text, _ in row))


async def test_an_inspection_that_comes_after_a_new_chat_is_not_shown(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hello"), finished("Hello"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    app.action_nudge(0.05)
    await until(pilot, lambda: any(isinstance(r, Inspect) for r in engine.requests))
    app.action_new_chat()
    engine.say(Inspected(position=10, chosen=100, drawn=0.25, prediction=prediction(Settings())))
    await until(pilot, lambda: not engine._answers)
    assert "Nothing has been predicted yet" in "".join(rows(app.query_one(NextTokenPanel)))


@pytest.mark.parametrize(("chosen", "told"), [(100, "the same token"), (101, "another token")])
async def test_it_is_said_whether_the_same_dice_choose_another_token(screen: Screen, chosen: int, told: str) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hello"), finished("Hello"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    engine.say(Inspected(position=10, chosen=chosen, drawn=0.25, prediction=prediction(Settings())))
    await pilot.resize_terminal(80, 24)
    await until(pilot, lambda: f"the same dice, {told}" in app.export_screenshot().replace("&#160;", " "))


async def test_samplers_keep_the_temperature_and_reach_the_engine(screen: Screen) -> None:
    app, engine, pilot = screen
    await pilot.press("ctrl+up")
    panel = app.query_one(SamplersPanel)
    panel.focus()
    await pilot.press("down", "down", "right")  # whatever row that is
    await until(pilot, lambda: engine.settings != Settings(temperature=0.85))
    assert engine.settings.temperature == 0.85


async def test_escape_stops_and_what_was_written_stays(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hel"))
    await until(pilot, lambda: said(app)[-1] == ("assistant", "Hel"))
    await pilot.press("escape")
    assert engine.stops == 1
    engine.tell(finished("Hel", "stopped", n=1))
    await until(pilot, lambda: app.query_one(StatusBar).state.activity == "stopped")
    assert said(app)[-1] == ("assistant", "Hel")
    await send(pilot, "Go on")
    assert engine.replies[-1].conversation[1].text == "Hel"


async def test_a_message_stopped_before_the_first_word_comes_back(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "A long one")
    await pilot.press("escape")
    engine.tell(finished("", "stopped", n=0))
    await until(pilot, lambda: app.query_one(Prompt).text == "A long one")
    await send(pilot, "Short")
    assert [m.text for m in engine.replies[-1].conversation] == ["Short"]


async def test_enter_while_it_writes_loses_nothing(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    await send(pilot, "too early")
    assert len(engine.replies) == 1
    assert app.query_one(Prompt).text == "too early"


async def test_a_dead_engine_leaves_the_chat_usable(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Partly"))
    engine.say(Failed(message="The engine has stopped: SIGKILL.", hint="The next message starts it.", dead=True))
    await until(pilot, lambda: "SIGKILL" in notes(app))
    assert said(app)[-1] == ("assistant", "Partly")
    await pilot.press("ctrl+up")
    assert not [r for r in engine.requests if isinstance(r, Inspect)], "the new engine has nothing in mind yet"
    await send(pilot, "Again")
    assert [m.text for m in engine.replies[-1].conversation] == ["Hi", "Partly", "Again"]


async def test_a_refused_message_goes_back_to_the_prompt(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "far too long")
    engine.say(Failed(message="This message makes a prompt of 900 tokens.", hint="Shorten it.", number=1))
    await until(pilot, lambda: "900 tokens" in notes(app))
    assert app.query_one(Prompt).text == "far too long"
    assert app.query_one(StatusBar).state.activity == "ready"
    assert "broken off" not in app.export_screenshot().replace("&#160;", " "), "nothing was ever begun"


async def test_another_answer_asks_the_same_again(screen: Screen) -> None:
    app, engine, pilot = screen
    await pilot.press("ctrl+r")
    assert not engine.replies
    await send(pilot, "Hi")
    engine.tell(record(10, "One"), finished("One"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    await pilot.press("ctrl+r")
    assert [reply.conversation for reply in engine.replies] == [(Message(role="user", text="Hi"),)] * 2


async def test_a_new_chat_forgets_and_ignores_what_still_comes(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hel"))
    await pilot.press("ctrl+n")
    engine.tell(record(11, "lo"), finished("Hello"))
    await pilot.pause(0.3)
    assert said(app) == []
    await send(pilot, "Fresh")
    assert [m.text for m in engine.replies[-1].conversation] == ["Fresh"]


@pytest.mark.parametrize("over", ["f1", "ctrl+o"])
async def test_what_nobody_sees_does_not_happen(screen: Screen, over: str) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "Hello"), finished("Hello"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    await pilot.press(over, "ctrl+n", "ctrl+r", "ctrl+up", "f2", "f3")
    assert len(app.screen_stack) == 2
    await pilot.press("escape")
    assert said(app) == [("user", "Hi"), ("assistant", "Hello")]
    assert len(engine.replies) == 1
    assert app.query_one(TemperaturePanel).value == 0.8
    assert app.query_one("#panels").display
    await pilot.press("ctrl+n")
    assert not said(app)


async def test_the_palette_acts_on_the_chat(screen: Screen) -> None:
    app, _, pilot = screen
    await send(pilot, "Hi")
    await pilot.press("ctrl+p", *"new chat")
    await pilot.pause(0.5)
    await pilot.press("enter")
    await until(pilot, lambda: not said(app))


async def test_messages_that_no_longer_fit_are_told(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(Prefill(done=0, total=400, reused=0, dropped=2))
    await until(pilot, lambda: "2 oldest messages" in notes(app))


async def test_what_a_template_moves_is_told_once_and_again_in_a_new_chat(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    read = Prefill(done=4, total=4, reused=0, dropped=0, remarks=("It has no place for a system message.",))
    engine.tell(read, read, record(10, "Yes"), finished("Yes"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    await send(pilot, "And?")
    engine.tell(read, record(10, "Yes"), finished("Yes"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    assert notes(app).count("no place for a system message") == 1
    await pilot.press("ctrl+n")
    await send(pilot, "Hi")
    engine.tell(read)
    await until(pilot, lambda: "no place for a system message" in notes(app))


async def test_text_from_a_model_is_neither_markup_nor_control(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    engine.tell(record(10, "[/] [red]x \x1b]52;c;aGk=\x07 \x9b2J"), finished("[/] [red]x \x1b]52;c;aGk=\x07 \x9b2J"))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    shown = app.export_screenshot()
    assert "\x1b" not in shown
    assert "[red]x" in shown.replace("&#160;", " ")


@pytest.mark.parametrize("size", [(80, 24), (40, 10), (5, 3), (140, 40), (200, 60)])
async def test_every_size_has_room_for_chat_and_prompt(size: tuple[int, int]) -> None:
    app = LogitscopeApp(ScriptedEngine(), Settings())
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        for widget in (app.query_one(Transcript), app.query_one(Prompt), app.query_one(StatusBar)):
            assert widget.region.width > 0
            assert widget.region.bottom <= size[1] or size[1] < 10
        assert app.query_one(SamplersPanel).display == (size[1] >= 50)


async def test_the_chat_scrolls_from_the_prompt_and_follows_again_at_its_end(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    long = "\n\n".join(f"line {n}" for n in range(200))
    engine.tell(record(10, long), finished(long))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    transcript = app.query_one(Transcript)
    await until(pilot, lambda: transcript.scroll_offset.y > 100)
    await pilot.press("pageup")
    assert not transcript.is_following
    await pilot.press("ctrl+home")
    assert transcript.scroll_offset.y == 0
    await pilot.press("ctrl+end")
    assert transcript.is_following


@pytest.mark.parametrize("sizes", [[(90, 20), (30, 8), (4, 3), (150, 50), (80, 24)]])
async def test_resizing_while_it_streams_keeps_following(screen: Screen, sizes: list[tuple[int, int]]) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    for n, size in enumerate(sizes):
        engine.tell(*(record(10 + 50 * n + k, f"word{k} ") for k in range(50)))
        await pilot.resize_terminal(*size)
        await pilot.pause(0.15)
    engine.tell(record(999, "the end"))
    await until(pilot, lambda: said(app)[-1][1].endswith("the end"))
    assert app.query_one(Transcript).is_following


async def test_f2_f3_fold_the_panels(screen: Screen) -> None:
    app, _, pilot = screen
    await pilot.press("f3")
    assert not app.query_one(SamplersPanel).display
    await pilot.press("f3")
    assert app.query_one(SamplersPanel).display
    await pilot.press("f2")
    assert not app.query_one("#panels").display


async def test_help_names_every_binding(screen: Screen) -> None:
    app, _, pilot = screen
    told = " ".join(f"{keys} {what}" for group in help_groups().values() for keys, what in group).lower()
    for _, binding, _, _ in app.active_bindings.values():
        if binding.show:
            assert binding.key in told, f"{binding.key} ({binding.description}) is not in the help"
    await pilot.press("f1")
    assert type(app.screen).__name__ == "HelpScreen"
    await pilot.press("escape")
    assert type(app.screen).__name__ != "HelpScreen"


@pytest.mark.parametrize("width", [30, 64, 80, 90, 120, 160])
async def test_no_key_at_the_bottom_is_cut(width: int) -> None:
    app = LogitscopeApp(ScriptedEngine(), Settings())
    async with app.run_test(size=(120, 24)) as pilot:
        await until(pilot, lambda: len(app.query("FooterKey")) > 5)
        await pilot.resize_terminal(width, 24)
        await pilot.pause()
        (palette,) = app.query("FooterKey.-command-palette")
        keys = [key for key in app.query("#keys FooterKey") if key.display and key is not palette]
        assert keys
        assert all(key.region.right <= palette.region.x for key in keys)
        assert len(keys) == 10 or keys[-1].region.right + 12 > palette.region.x, "as many as fit"


async def test_a_toast_does_not_cover_what_is_being_typed() -> None:
    app = LogitscopeApp(ScriptedEngine(), Settings())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await send(pilot, "Hi")
        await send(pilot, "too early")
        await until(pilot, lambda: bool(app.screen.query("Toast")))
        await pilot.pause()
        assert app.screen.query_one("Toast").region.bottom <= app.query_one(Prompt).region.y


async def test_the_palette_has_what_f1_has(screen: Screen) -> None:
    app, _, pilot = screen
    await pilot.press("ctrl+p", *"help")
    await pilot.pause(0.5)
    await pilot.press("enter")
    await until(pilot, lambda: type(app.screen).__name__ == "HelpScreen")


async def test_ctrl_q_ends_the_engine_and_the_screen(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Hi")
    await pilot.press("ctrl+q")
    assert engine.closed
    assert not app.is_running or app.return_code == 0


def test_replies_are_what_the_script_takes_them_for() -> None:
    engine = ScriptedEngine()
    engine.send(Reply(number=4, conversation=(), settings=Settings()))
    engine.tell(record(1, "a"))
    (answer,) = engine.answers()
    assert answer.number == 4  # type: ignore[union-attr]
    assert engine.answers() == []
