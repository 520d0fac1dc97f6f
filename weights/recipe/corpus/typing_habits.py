"""How people type: without capitals or the last mark, with a slip of the finger, with a word before the question."""

from __future__ import annotations

import random
import re

OPENERS = ("Hi! ", "Hello! ", "Hey! ", "Okay. ", "Thanks! ", "Good. ", "Great! ", "I see. ")
BEFORE_A_QUESTION = ("I have a question. ", "One more question. ", "Another question. ", "Question: ")


def as_typed(text: str, dice: random.Random, typos: bool) -> str:
    """A text as somebody might type it; `typos` allows slips, which would spoil what has to be copied."""
    if typos and dice.random() < 0.06:
        text = dice.choice(BEFORE_A_QUESTION if text.endswith("?") and dice.random() < 0.6 else OPENERS) + text
    elif text.endswith("?") and dice.random() < 0.03:
        text = f"{text[:-1]}, please?"
    if typos and dice.random() < 0.07:
        text = with_a_slip(text, dice)
    chance = dice.random()
    if chance < 0.2:
        text = text.lower()
    if chance < 0.13 or chance > 0.93:
        text = text.rstrip(".!?") or text
    return text


def with_a_slip(text: str, dice: random.Random) -> str:
    """One longer word with two letters swapped, one left out, or one typed twice."""
    words = list(re.finditer(r"[A-Za-z]{4,}", text))
    if not words:
        return text
    word = dice.choice(words)
    place = dice.randrange(word.start() + 1, word.end() - 1)
    before, here, after, rest = text[:place], text[place], text[place + 1], text[place + 2 :]
    return before + dice.choice((after + here, after, here + here + after)) + rest
