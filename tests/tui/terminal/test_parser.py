"""What a terminal sends becomes keys and pastes, wherever it is cut and however long the pieces take."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.message import Message

from tui.sanitize import visible
from tui.terminal import parser as parser_module
from tui.terminal.parser import END, START, TerminalParser


def told(messages: list[Message]) -> list[str]:
    """Keys by name, pastes by what they hold."""
    return [
        message.key if isinstance(message, events.Key) else f"paste {message.text}"
        for message in messages
        if isinstance(message, events.Key | events.Paste)
    ]


def parsed(*pieces: str) -> list[str]:
    parser = TerminalParser()
    return told([message for piece in pieces if piece for message in parser.feed(piece)])


class Clock:
    """Time as a test wants it, for our parser and Textual's."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(parser_module.time, "monotonic", lambda: self.now)
        monkeypatch.setattr("textual._parser.get_time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


PASTED = "AAA \x1b[31mred\x1b[0m\r\nB\x11\x00\x1b\x1b[200~\x1b[201\x1b[A\x9b"


def test_an_escape_character_in_a_paste_is_part_of_it() -> None:
    assert parsed("a" + START + PASTED + END + "b") == [
        "a", "paste AAA ␛[31mred␛[0m\nB␑␀␛␛[200~␛[201␛[A⟨9B⟩", "b",
    ]  # fmt: skip


def test_wherever_it_is_cut_it_is_the_same_paste() -> None:
    whole = "a" + START + PASTED + END + "b"
    for first in range(len(whole) + 1):
        for second in range(first, len(whole) + 1):
            assert parsed(whole[:first], whole[first:second], whole[second:]) == parsed(whole), (first, second)
    assert parsed(*whole) == parsed(whole)


@given(st.text(st.characters()), st.lists(st.integers(0, 200), max_size=4))
def test_whatever_it_holds_it_is_one_paste(text: str, cuts: list[int]) -> None:
    text = text.replace(END, "")
    while END in text:
        text = text.replace(END, "")
    whole = START + text + END
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[left:right] for left, right in pairwise(edges)]
    assert parsed(*pieces) == [f"paste {visible(text)}"]


@pytest.mark.parametrize("cut", range(3, len(START)))
def test_a_start_mark_that_comes_late_is_one_all_the_same(clock: Clock, cut: int) -> None:
    parser = TerminalParser()
    heard = list(parser.feed(START[:cut]))
    clock.now += 1  # many times as long as Textual waits
    heard += [*parser.tick(), *parser.feed(START[cut:] + "x\rq" + END)]
    assert told(heard) == ["paste x\nq"]


@pytest.mark.parametrize("cut", [1, 2])
def test_one_cut_where_a_key_ends_costs_no_more_than_that_key(clock: Clock, cut: int) -> None:
    parser = TerminalParser()
    heard = list(parser.feed(START[:cut]))
    clock.now += 1
    heard += [*parser.tick(), *parser.feed(START[cut:] + "x\rq" + END)]
    assert told(heard)[-1] == "paste x\nq"
    assert len(told(heard)) == 2


def test_a_paste_that_stalls_is_shown_and_goes_on(clock: Clock) -> None:
    parser = TerminalParser()
    assert told(list(parser.feed(START + "one\r\x1b[2"))) == []
    clock.now += 1
    assert told(list(parser.tick())) == []
    clock.now += 10
    assert told(list(parser.tick())) == ["paste one\n"]
    assert told(list(parser.feed("01mtwo\r" + END + "k"))) == ["paste ␛[201mtwo\n", "k"]


def test_where_the_end_mark_is_lost_a_control_key_still_acts(clock: Clock) -> None:
    for key in ("\x11", "\x1b[113;5u"):
        parser = TerminalParser()
        assert told(list(parser.feed(START + "lost"))) == []
        clock.now += 10
        assert told([*parser.tick(), *parser.feed(key)]) == ["paste lost", "ctrl+q"]


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ("\x1b\r", "alt+enter"),
        ("\x1b\x11", "alt+ctrl+q"),
        ("\x1b\x0e", "alt+ctrl+n"),
        ("\x1b[13;3u", "alt+enter"),
        ("\x1b[13;2u", "shift+enter"),
        ("\x1b[27;2;13~", "shift+enter"),
        ("\x1b[27;3;13~", "alt+enter"),
        ("\r", "enter"),
        ("\x1b\x7f", "ctrl+w"),
        ("\x1b[A", "up"),
    ],
)
def test_a_key_with_alt_is_not_the_key_without(sent: str, key: str) -> None:
    assert parsed(sent + "x") == [key, "x"]


def test_a_key_that_cannot_be_harms_nothing() -> None:
    assert parsed("a\x1b[99999999999999uby") == ["a", "b", "y"]
