"""Text that may come from anywhere, made safe and visible for a terminal. Must not know who shows it.

What a terminal would obey (C0, DEL, C1), what would reorder the line (bidirectional overrides) and what is no
character at all (lone surrogates) is replaced by something that can be seen; nothing is dropped. Every line break
becomes a newline, so that all who count lines count the same.
"""

from __future__ import annotations

import re
import unicodedata

_HOSTILE = re.compile("\r\n|[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LINE_BREAKS = frozenset(("\r\n", "\r", "\v", "\f", "\x85", "\u2028", "\u2029"))
_BLANKS = {" ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍", "\v": "␋", "\f": "␌"}
_INVISIBLE = frozenset(("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp", "Zs"))
_COMBINING = frozenset(("Mn", "Me", "Mc"))


def visible(text: str) -> str:
    """The same text with line breaks as newlines and everything a terminal must not see as a symbol.

    Newline, tab and all other printable text stay, so applying it twice changes nothing more.
    """
    return _HOSTILE.sub(_symbol, text)


def whole_characters(text: str) -> str:
    """The same text with � for every lone surrogate, such as a byte of the command line that is no character."""
    return _SURROGATE.sub("\ufffd", text)


class VisibleStream:
    """`visible` for text that comes in pieces: a carriage return at an end waits, since a newline may follow."""

    def __init__(self) -> None:
        self._waiting = ""

    def push(self, text: str, *, last: bool = False) -> str:
        """What can be shown by now; with the last piece, all of it."""
        text = self._waiting + text
        self._waiting = "\r" if text.endswith("\r") and not last else ""
        return visible(text.removesuffix("\r") if self._waiting else text)


def visible_token(text: str) -> str:
    """A short text on one line, its white space and invisible characters shown too; the empty text is ∅."""
    if not text:
        return "∅"
    shown = "".join(_BLANKS.get(character) or _unmistakable(character) for character in text)
    return f"◌{shown}" if unicodedata.category(shown[0]) in _COMBINING else shown


def visible_bytes(data: bytes) -> str:
    """Bytes that are no text, such as half a character, in hexadecimal: ⟨E2 96⟩."""
    return f"⟨{data.hex(' ').upper()}⟩" if data else "∅"


def _symbol(match: re.Match[str]) -> str:
    found = match[0]
    return "\n" if found in _LINE_BREAKS else _control(found)


def _control(character: str) -> str:
    """C0 and DEL have pictures of their own in Unicode; the rest is named by its number."""
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨{code:02X}⟩"


def _unmistakable(character: str) -> str:
    return _control(character) if unicodedata.category(character) in _INVISIBLE else character
