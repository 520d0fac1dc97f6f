"""No text, however hostile, reaches the terminal as anything but text."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.sanitize import VisibleStream, visible, visible_bytes, visible_token

_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_any_text = st.text(st.characters())  # surrogates and controls included


@given(_any_text)
def test_no_control_no_surrogate_no_override_is_left(text: str) -> None:
    for character in visible(text):
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs", "Zl", "Zp")
        assert character not in _BIDI


@given(st.lists(st.one_of(_any_text, st.sampled_from(["\r", "\n", "\r\n", ""]))))
def test_text_that_comes_in_pieces_is_shown_as_if_it_were_whole(pieces: list[str]) -> None:
    stream = VisibleStream()
    shown = [stream.push(piece) for piece in pieces]
    assert "".join(shown) + stream.push("", last=True) == visible("".join(pieces))


@given(_any_text)
def test_all_who_count_lines_count_the_same(text: str) -> None:
    shown = visible(text)
    assert shown.splitlines() == shown.removesuffix("\n").split("\n") * bool(shown)


@given(_any_text)
def test_twice_is_once(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs", "Cf", "Zl", "Zp"))))
def test_printable_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


@given(_any_text)
def test_nothing_is_dropped(text: str) -> None:
    assert len(visible(text)) >= len(text) - text.count("\r\n")


@given(_any_text)
def test_a_token_is_one_line_on_which_everything_can_be_seen(text: str) -> None:
    shown = visible_token(text)
    assert shown
    assert all(unicodedata.category(c)[0] not in "CZ" for c in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x9b2J", "⟨9B⟩2J"),
        ("\x7f", "␡"),
        ("\ud800", "⟨D800⟩"),
        ("a\u202eb", "a⟨202E⟩b"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("tab\tand\n", "tab\tand\n"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "∅"),
        (" the", "␣the"),
        ("\n\n", "↵↵"),
        ("\t", "⇥"),
        ("\u200b", "⟨200B⟩"),
        ("\u00a0x", "⟨A0⟩x"),
        ("\u0301", "◌\u0301"),
    ],
)
def test_visible_token(text: str, shown: str) -> None:
    assert visible_token(text) == shown


def test_half_a_character_is_shown_as_its_bytes() -> None:
    assert visible_bytes("█".encode()[:2]) == "⟨E2 96⟩"
    assert visible_bytes(b"") == "∅"


def test_it_is_cheap_to_import() -> None:
    code = "import sys, tui.sanitize; print(bool({'torch', 'textual', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
