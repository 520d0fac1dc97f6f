"""Conversations of our own, composed from hand-written exchanges. Knows no other source.

Most exchanges stand in conversations.txt, whose first lines explain its form; those that follow a rule are made in
exchanges.py, those that need what the person said before in memory.py. Composing means choosing and ordering: a reply
is always used whole, as somebody wrote it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

from weights.recipe import exchanges, memory
from weights.recipe.sources import Document, Turn
from weights.recipe.words import Exchange

TEXT = Path(__file__).with_name("conversations.txt")
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "You are a helpful assistant. Answer in simple English.",
    "Be short and kind.",
    "You are a tiny language model inside Logitscope.",
    "Answer the questions of the person.",
)
ROLES = {">": "user", "<": "assistant"}
# How often a group is drawn for the middle of a conversation.
WEIGHTS = {
    "politeness": 3,
    "self": 5,
    "machine": 5,
    "feelings": 2,
    "smalltalk": 6,
    "facts": 4,
    "stories": 3,
    "unknown": 3,
    "rule": 10,
}


def read(path: Path) -> dict[str, list[Exchange]]:
    """The exchanges of each group."""
    groups: dict[str, list[Exchange]] = {}
    group = ""
    for block in path.read_text(encoding="utf-8").split("\n\n"):
        exchange: Exchange = []
        for line in block.splitlines():
            if line.startswith("## "):
                group = line[3:]
            elif line[:1] in ROLES:
                exchange.append((ROLES[line[0]], line[2:].split(" | ")))
        if exchange:
            groups.setdefault(group, []).append(exchange)
    return groups


def as_typed(text: str, dice: random.Random) -> str:
    """As people type: now and then without capitals, or without the last mark."""
    chance = dice.random()
    if chance < 0.18:
        text = text.lower()
    if chance < 0.12 or chance > 0.92:
        text = text.rstrip(".!?") or text
    return text


def spoken(exchange: Exchange, dice: random.Random) -> list[Turn]:
    """One wording of an exchange."""
    chosen = [(role, dice.choice(wordings)) for role, wordings in exchange]
    return [(role, as_typed(text, dice) if role == "user" else text) for role, text in chosen]


def deck(cards: list[Exchange], dice: random.Random) -> Callable[[], Exchange]:
    """Deals every exchange once before any comes again."""
    left: list[Exchange] = []

    def deal() -> Exchange:
        if not left:
            left.extend(cards)
            dice.shuffle(left)
        return left.pop()

    return deal


def documents(count: int = 18_000, seed: int = 7) -> list[Document]:
    """So many conversations, each of one to six exchanges."""
    dice = random.Random(seed)
    groups = read(TEXT)
    deal = {name: deck(found, dice) for name, found in groups.items()}
    found: list[Document] = []
    for _ in range(count):
        turns: list[Turn] = []
        if dice.random() < 0.12:
            turns.append(("system", dice.choice(SYSTEMS)))
        if dice.random() < 0.25:
            turns += spoken(deal["opening"](), dice)
        told = memory.told(dice) if dice.random() < 0.15 else None
        if told:
            turns += spoken(told[0], dice)
        for _ in range(dice.choice((1, 1, 2, 2, 3, 4))):
            group = dice.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
            turns += spoken(exchanges.by_rule(dice) if group == "rule" else deal[group](), dice)
        if told:
            turns += spoken(told[1], dice)
        elif dice.random() < 0.06:
            turns += spoken(deal["untold"](), dice)
        if dice.random() < 0.15:
            turns += spoken(deal["closing"](), dice)
        found.append(Document(source="own", turns=tuple(turns)))
    return found
