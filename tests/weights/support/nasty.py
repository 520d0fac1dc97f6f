"""Texts that tokenizers stumble over, from a seed; and the pieces in a model file of SentencePiece."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path

_SPACES = [
    " ",
    "\n",
    "\t",
    "\r",
    "\r\n",
    "\u00a0",
    "\u3000",
    "\u2003",
    "\x0b",
    "\x0c",
    "\x85",
    "\u2028",
    "\u200b",
    "\ufeff",
]
_CONTRACTIONS = ["'s", "'S", "'ll", "'LL", "'Re", "'ve", "'d", "'t", "'ſ", "’s", "'m"]
_WORDS = ["the", "The ", " cat", " sat", "un", "believ", "able", "ing", " Hello", "WORLD", "ñandú", "naïve", " Straße"]
_CHARACTERS = [
    "é",
    "e\u0301",
    "\u0301",
    "क्षि",
    "ａｂ",
    "①②",
    "Ⅷ",
    "٣٤",
    "한국어",
    "👩‍👩‍👧",
    "🇩🇪",
    "ﷺ",
    "ﬁ",
    "\u202e",
    "▁",
    "▁▁",
    "Ġ",
    "İ",
]


def texts(rng: random.Random, specials: tuple[str, ...], n: int) -> Iterator[str]:
    """n texts; `specials` are among them."""
    for _ in range(n):
        yield "".join(_part(rng, specials) for _ in range(rng.randint(1, 12)))


def _part(rng: random.Random, specials: tuple[str, ...]) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz "
    return rng.choice(
        (
            lambda: "".join(_character(rng) for _ in range(rng.randint(1, 6))),
            lambda: rng.choice(_SPACES) * rng.randint(1, rng.choice((2, 5, 40))),
            lambda: " " * rng.randint(1, 90),
            lambda: str(rng.randrange(10 ** rng.randint(1, 12))),
            lambda: rng.choice(_CONTRACTIONS),
            lambda: rng.choice(specials),
            lambda: rng.choice(_WORDS),
            lambda: rng.choice('!?.,;:-_=+*/\\|<>()[]{}@#$%^&~`"') * rng.randint(1, 20),
            lambda: chr(rng.choice((rng.randrange(1, 0x20), rng.randrange(0x7F, 0xA1)))),
            lambda: rng.choice(_CHARACTERS),
            lambda: rng.choice((" ", "  ", "\n\n")),
            lambda: "".join(rng.choice(letters) for _ in range(rng.randint(1, 20))),
        )
    )()


def _character(rng: random.Random) -> str:
    """Of Unicode 14 or older: newer ones are letters to some programs and nothing to others."""
    ranges = ((0x20, 0x7F), (0xA0, 0x500), (0x4E00, 0x9FFF), (0x1F300, 0x1F700), (0xE000, 0xF8FF), (0x10000, 0x10100))
    return chr(rng.randrange(*rng.choice(ranges)))


def sentencepiece(path: Path) -> list[tuple[str, float, int]]:
    """Text, score and type of each piece (sentencepiece_model.proto, field 1 of ModelProto)."""
    return [_piece(body) for number, body in _fields(path.read_bytes()) if number == 1 and isinstance(body, bytes)]


def _piece(body: bytes) -> tuple[str, float, int]:
    text, score, kind = "", 0.0, 1
    for number, value in _fields(body):
        if number == 1 and isinstance(value, bytes):
            text = value.decode()
        elif number == 2 and isinstance(value, bytes):
            (score,) = struct.unpack("<f", value)
        elif number == 3 and isinstance(value, int):
            kind = value
    return text, score, kind


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """The fields of a protobuf message: number and value."""
    at = 0
    while at < len(data):
        key, at = _whole(data, at)
        value: bytes | int
        if key & 7 == 0:
            value, at = _whole(data, at)
        else:
            size = 4
            if key & 7 == 2:
                size, at = _whole(data, at)
            value, at = data[at : at + size], at + size
        yield key >> 3, value


def _whole(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = data[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at
