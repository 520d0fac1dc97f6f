"""What a model thinks before it answers: one line in the chat, that a click or a key unfolds."""

from __future__ import annotations

from dataclasses import replace

from textual.pilot import Pilot

from core.records import Prefill
from core.settings import Settings
from tests.tui.support.chat_pane import Pane, settle
from tests.tui.support.screen import Screen, send, until
from tests.tui.support.scripted import ScriptedEngine, finished, record
from tui.app import LogitscopeApp
from tui.cli.commands import _Printer
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.transcript.message import TranscriptMessage
from tui.widgets.transcript.transcript import Transcript

THOUGHT = "<think>\nFirst *this*.\n\nThen that.\n</think>\n\nThe **answer**."


def shown(entry: TranscriptMessage, width: int = 60) -> list[str]:
    return [row.plain for row in entry.rows(width)]


def test_a_thought_is_one_line_until_it_is_unfolded() -> None:
    entry = TranscriptMessage("assistant", THOUGHT, name="m")
    entry.count_thought(57)
    entry.finish("")
    assert shown(entry) == ["m", "▸ thought for 57 tokens  Ctrl+T unfolds", "", "The answer.", ""]
    assert [n for n in range(5) if entry.is_fold(n)] == [1]
    assert shown(entry)[entry.body.start : entry.body.stop] == ["The answer."], "a double click copies the answer"
    entry.unfold(True)
    assert shown(entry) == [
        "m",
        "▾ thought for 57 tokens  Ctrl+T folds",
        "│ First *this*.",
        "│ ",
        "│ Then that.",
        "",
        "The answer.",
        "",
    ]
    assert entry.text == THOUGHT
    entry.unfold(False)
    assert "First" not in "".join(shown(entry))


def test_however_it_grows_it_looks_the_same() -> None:
    whole = TranscriptMessage("assistant", THOUGHT, name="m")
    whole.finish("")
    growing = TranscriptMessage("assistant", "", name="m")
    for character in THOUGHT:
        growing.append(character)
        assert "<" not in "".join(shown(growing)), "no half of a tag flashes up"
    growing.finish("")
    assert shown(growing) == shown(whole)


def test_while_it_thinks_the_line_says_so() -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.open_thought()
    assert shown(entry)[1].startswith("▸ thinking ")
    entry.append("Hm, let me")
    entry.count_thought(3)
    assert shown(entry)[1].startswith("▸ thinking for 3 tokens")
    entry.unfold(True)
    assert "│ Hm, let me" in shown(entry)
    entry.append(" see.</think>Yes")
    assert shown(entry)[-2] == "Yes"
    assert "│ Hm, let me see." in shown(entry)


def test_a_thought_that_never_became_an_answer_is_over_all_the_same() -> None:
    entry = TranscriptMessage("assistant", "<think>Hm", name="m")
    assert shown(entry)[1].startswith("▸ thinking ")
    entry.finish("stopped")
    assert shown(entry)[1].startswith("▸ thought ")
    assert shown(entry)[-2:] == ["stopped", ""]


def test_an_empty_thought_is_nothing() -> None:
    entry = TranscriptMessage("assistant", "<think>\n\n</think>\n\nHi", name="m")
    assert shown(entry) == ["m", "Hi", ""]


def test_only_an_assistant_thinks() -> None:
    assert "<think>x</think>y" in shown(TranscriptMessage("user", "<think>x</think>y"))


async def test_a_click_unfolds_and_folds() -> None:
    app = Pane()
    async with app.run_test(size=(60, 20)) as pilot:
        app.chat.add("user", "Why?")
        app.chat.finish(app.chat.add("assistant", THOUGHT))
        await settle(pilot)
        row = next(n for n, line in enumerate(app.lines) if line.startswith("▸ thought"))
        await pilot.click(Transcript, offset=(3, row + 2))
        assert not any("Then that" in line for line in app.lines), "only that line"
        await pilot.click(Transcript, offset=(3, row))
        await pilot.pause(0.1)
        assert any("Then that" in line for line in app.lines)
        await pilot.click(Transcript, offset=(3, row))
        await pilot.pause(0.1)
        assert not any("Then that" in line for line in app.lines)


async def think(app: LogitscopeApp, engine: ScriptedEngine, pilot: Pilot[None], text: str, *, opened: bool) -> None:
    await send(pilot, "Why?")
    engine.tell(Prefill(done=10, total=10, reused=0, dropped=0, thinking=opened))
    for n, character in enumerate(text):
        engine.tell(replace(record(10 + n, character), thought=n < text.index("</think>") + len("</think>")))
    engine.tell(finished(text))
    await until(pilot, lambda: not app.query_one(Prompt).busy)


async def test_the_whole_text_goes_back_to_the_engine_and_ctrl_t_unfolds(screen: Screen) -> None:
    app, engine, pilot = screen
    await think(app, engine, pilot, "hm</think>Yes", opened=True)
    picture = app.export_screenshot().replace("&#160;", " ")
    assert "▸ thought for 10 tokens" in picture
    assert "hm" not in picture.partition("thought for")[2].partition("Yes")[0]
    await pilot.press("ctrl+t")
    await pilot.pause(0.1)
    assert "▾ thought for 10 tokens" in app.export_screenshot().replace("&#160;", " ")
    await send(pilot, "And?")
    assert engine.replies[-1].conversation[1].text == "hm</think>Yes"
    assert engine.replies[-1].conversation[1].ids == (100, 100, 100)


# --- without a screen -------------------------------------------------------------------------------------------------


def printed(capsys, monkeypatch, *, terminal: bool, thoughts: bool) -> str:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    printer = _Printer(thoughts=thoughts)
    printer(Prefill(done=1, total=1, reused=0, dropped=0, thinking=True))
    for piece in ("hm \x1b[2J", "</thi", "nk>\n\n", "Yes", " \x9b2J"):
        printer(record(1, piece, Settings()))
    printer(finished("..."))
    return str(capsys.readouterr().out)


def test_a_terminal_shows_thoughts_dimmed(capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    out = printed(capsys, monkeypatch, terminal=True, thoughts=True)
    assert out.startswith("\x1b[2mhm ␛[2J\x1b[22m")
    assert "\n\nYes" in out
    assert "\x1b[2J" not in out
    assert "think" not in out


def test_a_pipe_gets_the_text_as_it_is_or_the_answer_alone(capsys, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert printed(capsys, monkeypatch, terminal=False, thoughts=True) == "hm \x1b[2J</think>\n\nYes \x9b2J\n"
    assert printed(capsys, monkeypatch, terminal=False, thoughts=False) == "Yes \x9b2J\n"
