"""Standard streams as a shell may give them: closed, full, or read by nobody any more. Must not know the commands."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TextIO

INTERRUPTED = 130  # the shell's own number


def open_closed_streams() -> bool:
    """Give every standard stream that was closed (`<&-`) an empty one, before a file is opened under its number.

    Returns:
        Whether standard output was there.
    """
    has_output = sys.stdout is not None
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(number, True)
    for name, number in (("stdin", 0), ("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            mode = "r" if number == 0 else "w"
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", errors="replace", closefd=False))
    return has_output


def show_anything(stream: TextIO) -> None:
    """A terminal that cannot show a character shows ?, and does not fail."""
    with contextlib.suppress(AttributeError, ValueError):
        stream.reconfigure(errors="replace")  # type: ignore[attr-defined]


def discard(stream: TextIO) -> None:
    """What could not be written, or the interpreter tries it again at its end and complains."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def say(sentence: str) -> None:
    """On standard error, where that can be written."""
    try:
        print(sentence, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        discard(sys.stderr)


def leave_when_interrupted() -> None:
    """From now on Ctrl+C ends the program at once: an exception may come in the middle of an import, which makes
    something else of it. A program that was told to be deaf to it stays so.
    """
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, _leave)


def raise_when_interrupted() -> None:
    """From now on Ctrl+C is a KeyboardInterrupt, for those who have something to put in order."""
    if signal.getsignal(signal.SIGINT) not in (signal.SIG_IGN, None):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(*_: object) -> None:
    with contextlib.suppress(OSError):
        os.write(1, b"\n")  # without the stream's buffer, in whose middle this may be
    os._exit(INTERRUPTED)
