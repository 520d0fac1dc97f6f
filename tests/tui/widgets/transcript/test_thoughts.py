"""What a model thinks before it answers: one line in the chat, that a click or a key unfolds."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual.pilot import Pilot

from core.records import Prefill, Shown
from tests.tui.support.chat_pane import Pane, settle
from tests.tui.support.screen import Screen, send, until
from tests.tui.support.scripted import ScriptedEngine, finished, record
from tui.app import LogitscopeApp
from tui.cli.commands import _Printer
from tui.engines.protocol import Failed
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.transcript.message import TranscriptMessage
from tui.widgets.transcript.transcript import Transcript

THOUGHT = "\nFirst *this*.\n\nThen that.\n"
ANSWER = "\n\nThe **answer**."


def shown(entry: TranscriptMessage, width: int = 60) -> list[str]:
    return [row.plain for row in entry.rows(width)]


def test_a_thought_is_one_line_until_it_is_unfolded() -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.append(ANSWER, thought=THOUGHT)
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
    assert (entry.thought, entry.text) == (THOUGHT, ANSWER)
    entry.unfold(False)
    assert "First" not in "".join(shown(entry))


def test_however_it_grows_it_looks_the_same() -> None:
    whole = TranscriptMessage("assistant", "", name="m")
    whole.append(ANSWER, thought=THOUGHT)
    whole.finish("")
    growing = TranscriptMessage("assistant", "", name="m")
    for character in THOUGHT:
        growing.append("", thought=character, thinking=True)
        shown(growing)
    for character in ANSWER:
        growing.append(character)
        shown(growing)
    growing.finish("")
    assert shown(growing) == shown(whole)


def test_what_is_replaced_by_the_same_stays_and_by_something_else_is_laid_out_anew() -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.append(ANSWER, thought=THOUGHT)
    rows = entry.rows(60)
    entry.replace(ANSWER, thought=THOUGHT)
    assert entry.is_laid(60)
    assert entry.rows(60) is rows
    entry.replace("", thought="Only that.", thinking=True)
    entry.finish("stopped")
    assert shown(entry) == ["m", "▸ thought  Ctrl+T unfolds", "stopped", ""]


@pytest.mark.parametrize("pieces", [["a\r\n", "b"], ["a\r", "\nb"], ["a", "\r", "\n", "b"]])
def test_a_line_break_of_two_characters_is_one_however_it_comes(pieces: list[str]) -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.unfold(True)
    for piece in pieces:
        entry.append("", thought=piece, thinking=True)
    assert shown(entry)[2:-1] == ["│ a", "│ b"]
    entry.append("", thought="\r", thinking=True)
    entry.append("\nYes")
    assert entry.thought == "a\nb\n"
    assert shown(entry)[-2:] == ["Yes", ""]


def test_while_it_thinks_the_line_says_so() -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.append("", thinking=True)
    assert shown(entry)[1].startswith("▸ thinking ")
    entry.append("", thought="Hm, let me", thinking=True)
    entry.count_thought(3)
    assert shown(entry)[1].startswith("▸ thinking for 3 tokens")
    entry.unfold(True)
    assert "│ Hm, let me" in shown(entry)
    entry.append("Yes", thought=" see.")
    assert shown(entry)[-2] == "Yes"
    assert "│ Hm, let me see." in shown(entry)


def test_a_thought_that_never_became_an_answer_is_over_all_the_same() -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.append("", thought="Hm", thinking=True)
    assert shown(entry)[1].startswith("▸ thinking ")
    entry.finish("stopped")
    assert shown(entry)[1].startswith("▸ thought ")
    assert shown(entry)[-2:] == ["stopped", ""]


def test_an_empty_thought_is_nothing() -> None:
    entry = TranscriptMessage("assistant", "", name="m")
    entry.append("\n\nHi", thought="\n\n")
    assert shown(entry) == ["m", "Hi", ""]


def test_only_an_assistant_thinks() -> None:
    assert "<think>x</think>y" in shown(TranscriptMessage("user", "<think>x</think>y"))


async def test_a_click_unfolds_and_folds() -> None:
    app = Pane()
    async with app.run_test(size=(60, 20)) as pilot:
        app.chat.add("user", "Why?")
        index = app.chat.add("assistant")
        app.chat.append(index, ANSWER, thought=THOUGHT)
        app.chat.finish(index)
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


async def think(app: LogitscopeApp, engine: ScriptedEngine, pilot: Pilot[None]) -> None:
    """A prompt that opens a thought, and a reply a character a token."""
    await send(pilot, "Why?")
    engine.tell(Prefill(done=10, total=10, reused=0, dropped=0, thinking=True))
    tag = "</think>"
    for n, character in enumerate(f"hm{tag}"):
        shown = Shown(thought=character if n < 2 else "", thinking=n < 1 + len(tag))
        engine.tell(replace(record(10 + n, character, shown=shown), channel="thought"))
    for n, character in enumerate("Yes"):
        engine.tell(record(20 + n, character))
    engine.tell(finished(f"hm{tag}Yes", shown=Shown(thought="hm", answer="Yes")))
    await until(pilot, lambda: not app.query_one(Prompt).busy)


async def test_the_whole_text_goes_back_to_the_engine_and_ctrl_t_unfolds(screen: Screen) -> None:
    app, engine, pilot = screen
    await think(app, engine, pilot)
    picture = app.export_screenshot().replace("&#160;", " ")
    assert "▸ thought for 10 tokens" in picture
    assert "hm" not in picture.partition("thought for")[2].partition("Yes")[0]
    await pilot.press("ctrl+t")
    await pilot.pause(0.1)
    assert "▾ thought for 10 tokens" in app.export_screenshot().replace("&#160;", " ")
    await send(pilot, "And?")
    assert engine.replies[-1].conversation[1].text == "hm</think>Yes"
    assert engine.replies[-1].conversation[1].ids == (100, 100, 100)


async def test_half_a_tag_that_a_dead_engine_held_back_is_shown(screen: Screen) -> None:
    app, engine, pilot = screen
    await send(pilot, "Why?")
    engine.tell(record(10, "<think>hm", shown=Shown(thought="hm", thinking=True)))
    engine.tell(record(11, "</thi", shown=Shown(thinking=True)))
    engine.say(Failed(message="It died.", dead=True))
    await until(pilot, lambda: not app.query_one(Prompt).busy)
    await pilot.press("ctrl+t")
    await pilot.pause(0.1)
    assert "hm</thi" in app.export_screenshot().replace("&#160;", " ").replace("&lt;", "<")
    await send(pilot, "And?")
    assert engine.replies[-1].conversation[1].text == "<think>hm</thi"


# --- without a screen -------------------------------------------------------------------------------------------------


def printed(capsys, monkeypatch, *, terminal: bool, thoughts: bool) -> str:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    printer = _Printer(thoughts=thoughts)
    printer(Prefill(done=1, total=1, reused=0, dropped=0, thinking=True))
    thought, half = Shown(thought="hm \x1b[2J", thinking=True), Shown(thinking=True)
    printer(record(1, "hm \x1b[2J", shown=thought))
    printer(record(2, "</thi", shown=half))
    printer(record(3, "nk>\n\n", shown=Shown(answer="\n\n")))
    for piece in ("Yes", " \x9b2J"):
        printer(record(4, piece))
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
