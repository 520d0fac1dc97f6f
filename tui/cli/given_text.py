"""The text a command is to read: its argument, what is piped in, or both. Must not know what becomes of it."""

from __future__ import annotations

import codecs
import os
import stat
import sys

from core.errors import BadSetting
from tui.sanitize import whole_characters

_MARK = "\ufeff"  # of the byte order
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def message(given: str | None, what: str, example: str) -> str:
    """What is said to a model. What is piped goes before the argument, as other programs of this kind have it.

    Args:
        given: the argument; None or "-" where all is piped.

    Raises:
        BadSetting: there is neither, and nothing is piped.
    """
    if given is None or given == "-":
        return _read(what, example).strip()
    said = whole_characters(given).removeprefix(_MARK)
    piped = _piped_beside().strip()
    return f"{piped}\n\n{said}" if piped and said.strip() else piped or said


def exact_text(given: str | None, what: str, example: str) -> str:
    """A text that is looked at as it is, white space at its ends included.

    Raises:
        BadSetting: there is none, or two.
    """
    if given is None or given == "-":
        return _read(what, example)
    if _piped_beside().strip():
        raise BadSetting(
            "There is one text in the command and another on standard input, and this looks at one as it is.",
            "Leave one of them out.",
        )
    return whole_characters(given)


def decoded(data: bytes) -> str:
    """What was piped, as text: UTF-8, or UTF-16 where its mark says so; the mark is no part of it."""
    if data.startswith(_UTF16):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace").removeprefix(_MARK)


def _read(what: str, example: str) -> str:
    """All of standard input."""
    if sys.stdin is None or sys.stdin.isatty():
        raise BadSetting(f"This needs {what}.", f"For example: {example}, or pipe it in.")
    return decoded(sys.stdin.buffer.read())


def _piped_beside() -> str:
    """What comes in a pipe or from a file beside an argument; nothing where nobody has redirected anything."""
    try:
        kind = os.fstat(sys.stdin.fileno()).st_mode
    except (AttributeError, OSError, ValueError):  # there is no standard input
        return ""
    if stat.S_ISFIFO(kind) or stat.S_ISREG(kind) or stat.S_ISSOCK(kind):
        return decoded(sys.stdin.buffer.read())
    return ""
