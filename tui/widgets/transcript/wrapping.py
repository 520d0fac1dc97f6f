"""Where a text breaks into rows of so many cells, in time linear in its length. Must not know how it is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import split_graphemes

# what is surely one cell a character: Latin, Greek, Cyrillic, box drawing; the rest is measured
_NARROW = re.compile("[ -~\u00a0-\u00ac\u00ae-\u02ff\u0370-\u0482\u2500-\u25fc\u2800-\u28ff]*")
_CLOSING = frozenset("、。，．：；？！）］｝」』】〉》〕ー～…’”)]}.,:;?!%")  # never begins a row
_OPENING = frozenset("（［｛「『【〈《〔‘“([{")  # never ends one


class Break(NamedTuple):
    """One row of a text: where it starts and ends, and what stood between it and the next row but is not shown."""

    start: int
    end: int
    joint: str


def wrap(text: str, width: int, *, fold: bool = False) -> Iterator[Break]:
    """The rows of a text, in order.

    Args:
        width: of a row, in cells. A character that is wider gets a row to itself.
        fold: break anywhere, as in code, rather than between words.
    """
    width = max(width, 1)
    start = 0
    while True:
        end = text.find("\n", start)
        last = end < 0
        end = len(text) if last else end
        yield from _wrap_line(text, start, end, width, fold, "" if last else "\n")
        if last:
            return
        start = end + 1


def _wrap_line(text: str, start: int, end: int, width: int, fold: bool, ending: str) -> Iterator[Break]:
    narrow = _NARROW.fullmatch(text, start, end)
    yield from (_wrap_narrow if narrow else _wrap_wide)(text, start, end, width, fold, ending)


def _wrap_narrow(text: str, start: int, end: int, width: int, fold: bool, ending: str) -> Iterator[Break]:
    """Every character is one cell, so a row is a slice."""
    while end - start > width:
        stop = following = start + width
        space = -1 if fold else text.rfind(" ", start, stop + 1)
        if space > start and (word_end := _before_spaces(text, start, space)) > start:
            stop, following = word_end, _after_spaces(text, space, end)
        if following >= end:  # only spaces are left: they hang over the edge
            break
        yield Break(start, stop, text[stop:following])
        start = following
    yield Break(start, end, ending)


def _before_spaces(text: str, start: int, at: int) -> int:
    while at > start and text[at - 1] == " ":
        at -= 1
    return at


def _after_spaces(text: str, at: int, end: int) -> int:
    while at < end and text[at] == " ":
        at += 1
    return at


def _wrap_wide(text: str, start: int, end: int, width: int, fold: bool, ending: str) -> Iterator[Break]:
    """Characters of two cells may be parted from their neighbours, characters of none from nothing."""
    row = start
    used = 0  # cells since `row`
    stop = following = row  # the last place to break: the row's end, the next row's start
    used_until = 0  # cells from `row` to `following`
    before = ("", 0)  # the character before, and its cells
    for first, _, cells in split_graphemes(text[start:end])[0]:
        at, character = start + first, text[start + first]
        if character == " " and not fold:
            if following != at or before[0] != " ":
                stop = at
            used += 1
            following, used_until = at + 1, used
            before = (character, 1)
            continue
        if not fold and cells + before[1] >= 3 and _may_part(before[0], character):
            stop, following, used_until = at, at, used
        while used + cells > width and at > row:
            if stop <= row:
                stop, following, used_until = at, at, used
            yield Break(row, stop, text[stop:following])
            row, used = following, used - used_until
            stop, following = row, row
        used += cells
        before = (character, cells)
    yield Break(row, end, ending)


def _may_part(left: str, right: str) -> bool:
    return left not in _OPENING and right not in _CLOSING and left != " "
