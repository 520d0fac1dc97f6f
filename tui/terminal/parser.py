"""What a terminal sends, as keys, mouse events and pastes. Must not know where it is read from.

Textual's parser looks for keys inside a bracketed paste as well: an escape character in the text makes keys of what
follows it, which may send a message or leave the program. Here nothing inside a paste is looked at but its end mark
(xterm, "Bracketed Paste Mode").
"""

from __future__ import annotations

import re
import time
from collections.abc import Generator, Iterable, Iterator

from textual import events
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._parser import Parser
from textual._xterm_parser import XTermParser
from textual.message import Message

from tui.sanitize import visible

START, END = "\x1b[200~", "\x1b[201~"
PATIENCE = 2.0  # seconds that the rest of a start mark may take; Escape and Alt+[ begin like one and cannot wait
STALL = 5.0  # seconds without anything after which a paste whose end mark is missing is shown as far as it has come

_ESC = "\x1b"
_UNMISTAKABLE = 3  # characters of a start mark that no key begins with
_OTHER_KEYS = re.compile(r"\x1b\[27;(?P<modifiers>\d+);(?P<code>\d+)~")  # xterm's modifyOtherKeys, and tmux'
_CONTROL_KEY = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]|\x1b\[[\d:;]+u")


class TerminalParser(XTermParser):
    """Textual's parser, with pastes kept apart and no Alt key taken for the key without Alt."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._begun = 0  # how much of a start mark the input ends with
        self._pasted: list[str] | None = None  # in a paste: what has come of it and was not told yet
        self._tail = ""  # the end of it, in which an end mark may have begun
        self._heard = 0.0  # when something came last

    def feed(self, data: str) -> Iterable[Message]:
        if not data:  # the end of all input
            yield from self._unfinished()
            yield from super().feed(data)
            return
        yield from self._leave_a_stalled_paste(data)
        self._heard = time.monotonic()
        while data:
            if self._pasted is None:
                data = yield from self._outside(data)
            else:
                data = yield from self._inside(data)

    def tick(self) -> Iterable[Message]:
        silence = time.monotonic() - self._heard
        if self._pasted is not None:
            if silence > STALL:
                yield from self._unfinished()
        elif self._begun < _UNMISTAKABLE or silence > PATIENCE:
            yield from super().tick()

    # --- outside a paste ----------------------------------------------------------------------------------------------

    def _outside(self, data: str) -> Generator[Message, None, str]:
        """Keys and the like up to the next paste. Returns what is left."""
        text = START[: self._begun] + data
        at = text.find(START)
        if at < 0:
            self._begun = next((n for n in range(len(START) - 1, 0, -1) if text.endswith(START[:n])), 0)
            yield from self._keys(data)
            return ""
        before = data[: max(0, at - self._begun)]
        if before:  # an escape character ends whatever was begun, and is itself forgotten
            yield from self._keys(before + _ESC)
        self._forget()
        self._begun, self._pasted, self._tail = 0, [], ""
        return text[at + len(START) :]

    def _keys(self, data: str) -> Iterator[Message]:
        for character in data:
            try:
                yield from super().feed(character)
            except (ValueError, OverflowError):  # the number of a key that there cannot be
                self._forget()

    def _forget(self) -> None:
        """Whatever sequence was begun."""
        Parser.__init__(self)

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        """Alt is an escape character before the key: Alt+Enter must not be Enter, nor Alt+Ctrl+Q Ctrl+Q."""
        if (other := _OTHER_KEYS.fullmatch(sequence)) is not None:
            sequence = f"\x1b[{other['code']};{other['modifiers']}u"
        elif sequence[:1] == _ESC and _is_control(sequence[1:]) and sequence not in ANSI_SEQUENCES_KEYS:
            sequence, alt = sequence[1], True
        for key in super()._sequence_to_key_events(sequence, alt):
            if alt and _is_control(sequence) and not key.key.startswith("alt+"):
                yield events.Key(f"alt+{key.key}", None)
            else:
                yield key

    # --- inside one ---------------------------------------------------------------------------------------------------

    def _inside(self, data: str) -> Generator[Message, None, str]:
        """The paste up to its end mark. Returns what is left."""
        assert self._pasted is not None
        text = self._tail + data
        at = text.find(END)
        if at < 0:
            keep = len(END) - 1
            self._pasted.append(text[:-keep])
            self._tail = text[-keep:]
            return ""
        self._pasted.append(text[:at])
        paste = "".join(self._pasted)
        self._pasted, self._tail = None, ""
        yield events.Paste(visible(paste))
        return text[at + len(END) :]

    def _unfinished(self) -> Iterator[Message]:
        """What has come of a paste whose end mark has not. What comes yet belongs to it, too."""
        if self._pasted is None:
            return
        begun = next((n for n in range(len(END) - 1, 0, -1) if self._tail.endswith(END[:n])), 0)
        at = len(self._tail) - begun
        paste = "".join(self._pasted) + self._tail[:at]
        self._pasted, self._tail = [], self._tail[at:]
        if paste:
            yield events.Paste(visible(paste))

    def _leave_a_stalled_paste(self, data: str) -> Iterator[Message]:
        """Where the end mark was lost, a control key alone after a long silence is a key: else nothing would help."""
        stalled = self._pasted is not None and time.monotonic() - self._heard > STALL
        if stalled and _CONTROL_KEY.fullmatch(data):
            yield from self._unfinished()
            self._pasted, self._tail = None, ""


def _is_control(character: str) -> bool:
    return len(character) == 1 and (character < " " or character == "\x7f") and character != _ESC
