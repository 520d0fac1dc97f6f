"""Which part of the transcript is selected, and what it says. Must not know how a selection is made.

A selection speaks of offsets: x is a character of a row; y is made of a message and the row in it, so that no later
text can change it.
"""

from __future__ import annotations

from collections.abc import Sequence

from textual.geometry import Offset
from textual.selection import Selection

from tui.widgets.transcript.message import TranscriptMessage

_ROWS = 1 << 24  # more than a message can have


def key(message: int, row: int) -> int:
    """The y of a row."""
    return message * _ROWS + row


def span(selection: Selection | None, y: int) -> tuple[int, int | None] | None:
    """Which characters of a row are selected, None as the end meaning all the rest; None if none are."""
    if selection is None or (characters := selection.get_span(y)) is None:
        return None
    start, end = characters
    return start, None if end < 0 else end


def whole(message: int, rows: range) -> Selection:
    """A selection of these rows of a message."""
    return Selection(Offset(0, key(message, rows.start)), Offset(_ROWS, key(message, rows.stop - 1)))


def copied(messages: Sequence[TranscriptMessage], width: int, selection: Selection) -> str:
    """The selected text as it is shown, but with its own line breaks instead of those the width made."""
    pieces: list[str] = []
    first = selection.start.y // _ROWS if selection.start else 0
    last = selection.end.y // _ROWS if selection.end else len(messages) - 1
    for index in range(first, min(last, len(messages) - 1) + 1):
        for number, row in enumerate(messages[index].rows(width)):
            characters = span(selection, key(index, number))
            if characters is not None:
                pieces += row.copied(*characters), row.joint
    return "\n".join(line.rstrip() for line in "".join(pieces[:-1]).split("\n"))
