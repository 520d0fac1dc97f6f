"""Documents as token ids on disk, and rows of tokens to train on. Knows no source and no model."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from weights.recipe.corpus.sources import Document
from weights.recipe.models import END_OF_TEXT, TURN_END, TURN_START

HELD_OUT = 50  # one document in so many is never trained on


@dataclass(frozen=True)
class Piece:
    """One document: its source, its ids, and for each id whether the model is to learn to say it."""

    source: str
    ids: np.ndarray  # (tokens,) uint16
    learn: np.ndarray  # (tokens,) bool


def encoded(document: Document, tokenizer: Tokenizer) -> Piece:
    """A text is learnt whole; of a conversation, what the assistant says and the mark that ends its turn."""
    ids: list[int] = []
    learn: list[bool] = []

    def add(text: str, wanted: bool) -> None:
        found = tokenizer.encode(text, add_special_tokens=False).ids
        ids.extend(found)
        learn.extend([wanted] * len(found))

    if document.text:
        add(document.text + END_OF_TEXT, True)
    for role, text in document.turns:
        add(f"{TURN_START}{role}\n", False)
        add(f"{text}{TURN_END}", role == "assistant")
        add("\n", False)
    if document.turns:  # in a row of several conversations it says that the next one has nothing to do with this one
        add(END_OF_TEXT, False)
    return Piece(document.source, np.array(ids, dtype=np.uint16), np.array(learn, dtype=bool))


def save(path: Path, pieces: list[Piece]) -> None:
    sources = sorted({piece.source for piece in pieces})
    np.savez(
        path,
        ids=np.concatenate([piece.ids for piece in pieces]),
        learn=np.concatenate([piece.learn for piece in pieces]),
        ends=np.cumsum([len(piece.ids) for piece in pieces]),
        source=np.array([sources.index(piece.source) for piece in pieces], dtype=np.uint8),
        sources=np.array(sources),
    )


def load(path: Path) -> list[Piece]:
    with np.load(path) as file:
        ends, names = file["ends"], [str(name) for name in file["sources"]]
        ids, learn = np.split(file["ids"], ends[:-1]), np.split(file["learn"], ends[:-1])
        return [Piece(names[which], *pair) for which, *pair in zip(file["source"], ids, learn, strict=True)]


def split(pieces: list[Piece]) -> tuple[list[Piece], list[Piece]]:
    """Those to train on, and those held out: of every source one in `HELD_OUT`, always the same ones.

    Our own conversations are composed from one set of exchanges, so none of them can be honestly held out.
    """
    seen: dict[str, int] = {}
    kept: list[Piece] = []
    held: list[Piece] = []
    for piece in pieces:
        seen[piece.source] = seen.get(piece.source, 0) + 1
        out = piece.source != "own" and seen[piece.source] % HELD_OUT == 0
        (held if out else kept).append(piece)
    return kept, held


def drawn(pieces: list[Piece], shares: dict[str, float], dice: random.Random) -> list[Piece]:
    """One pass: each source as often as its share says, in a new order."""
    chosen: list[Piece] = []
    for piece in pieces:
        share = shares.get(piece.source, 0.0)
        chosen += [piece] * (int(share) + (dice.random() < share % 1))
    dice.shuffle(chosen)
    return chosen


def rows(pieces: list[Piece], length: int, whole: bool) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows of `length` + 1 ids, with which of them are learnt.

    `whole`: every piece begins in the row that has room for it, the rest of the row stays empty, and what is
    longer than a row is cut; so a conversation is never read from its middle. Otherwise texts are laid end to end.
    """
    size = length + 1
    if not whole:
        ids = np.concatenate([piece.ids for piece in pieces])
        for start in range(0, len(ids) - size, length):
            yield ids[start : start + size], np.ones(size, dtype=bool)
        return
    open_rows: list[list[Piece]] = []
    for piece in pieces:
        row = next((row for row in open_rows if tokens_in(row) + len(piece.ids) <= size), None)
        if row is None:
            row = []
            open_rows.append(row)
        row.append(piece)
        if len(open_rows) > 24:
            fullest = max(range(len(open_rows)), key=lambda place: tokens_in(open_rows[place]))
            yield laid_out(open_rows.pop(fullest), size)
    for row in open_rows:
        yield laid_out(row, size)


def tokens_in(row: list[Piece]) -> int:
    return sum(len(piece.ids) for piece in row)


def laid_out(pieces: list[Piece], size: int) -> tuple[np.ndarray, np.ndarray]:
    ids, learn = np.zeros(size, dtype=np.uint16), np.zeros(size, dtype=bool)
    start = 0
    for piece in pieces:
        part = min(len(piece.ids), size - start)
        ids[start : start + part], learn[start : start + part] = piece.ids[:part], piece.learn[:part]
        start += part
    return ids, learn
