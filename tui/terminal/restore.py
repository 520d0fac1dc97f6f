"""Giving a terminal back as it was, whatever has become of the program that drew on it. Must not know textual.

The screen's own process does it on every way out that it lives to see. Where it is killed, its engine's process sees
that nobody is left to speak to, and does it instead.
"""

from __future__ import annotations

import ast
import contextlib
import os
from collections.abc import Sequence
from typing import Any, TextIO

ORDERS = (
    "\x1b[?2004l\x1b[?2048l\x1b[?7h"  # bracketed paste, reports of the size, no wrapping
    "\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l\x1b[?1004l"  # the mouse and the focus
    "\x1b[<u\x1b[?2026l\x1b[0m\x1b[?1049l\x1b[?25h"  # keys, drawing in one go, colours, the other screen, no cursor
)
"""What ends everything that Textual begins."""


class SavedTerminal:
    """How a terminal was before anybody drew on it.

    Args:
        fileno: of the terminal.
        attributes: what the kernel does to what is typed, as termios tells it.
    """

    def __init__(self, fileno: int, attributes: Sequence[Any]) -> None:
        self.fileno = fileno
        self._attributes = list(attributes)

    @classmethod
    def of(cls, stream: TextIO) -> SavedTerminal | None:
        """As it is now; None where there is none, or it has no such attributes."""
        with contextlib.suppress(ImportError, OSError, ValueError):
            import termios

            with contextlib.suppress(termios.error):
                attributes = termios.tcgetattr(stream.fileno())
                return cls(os.dup(stream.fileno()), attributes)  # a child has other uses for the number of its input
        return None

    @classmethod
    def parse(cls, text: str) -> SavedTerminal | None:
        """The same in another process that was given the file; None for what `str` has not written."""
        try:
            fileno, attributes = ast.literal_eval(text)
            return cls(fileno, attributes)
        except (ValueError, SyntaxError, TypeError):
            return None

    def __str__(self) -> str:
        return repr((self.fileno, self._attributes))

    def restore(self) -> None:
        """Put it back, and forget what was typed meanwhile: it was not for the shell."""
        import select
        import termios

        with contextlib.suppress(OSError, ValueError, termios.error):  # it may be gone
            if not termios.tcgetattr(self.fileno)[3] & (termios.ICANON | termios.ISIG):  # else a shell has it already
                termios.tcflush(self.fileno, termios.TCIFLUSH)
                termios.tcsetattr(self.fileno, termios.TCSANOW, self._attributes)
            if select.select([], [self.fileno], [], 0)[1]:  # where it was halted, nobody waits for it
                os.write(self.fileno, ORDERS.encode())
