"""Conversations of our own, composed from hand-written exchanges. Knows no other source.

Most exchanges stand in own/*.txt, one topic a file; those that follow a rule are made in exchanges.py, those that need
what the person said before in memory.py. Composing means choosing and ordering: a reply is always used whole, as
somebody wrote it. The form of own/*.txt: a blank line ends an exchange; ">" is what the person may type, "<" what the
model may answer, with alternatives between bars, each of which fits each one before it. An exchange may go to and fro.
"? TOPIC is" before it says what it explains, and adds the ways in which anything can be asked about (`FRAMES`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from weights.recipe.corpus.sources import Document, Turn
from weights.recipe.corpus.typing_habits import as_typed
from weights.recipe.models import filled_in
from weights.recipe.rules import exchanges, memory
from weights.recipe.rules.words import Exchange

FOLDER = Path(__file__).with_name("own")
SYSTEMS = (
    "You are a helpful assistant.",
    "You are a friendly assistant.",
    "You are a helpful assistant. Answer in simple English.",
    "Be short and kind.",
    "You are a tiny language model inside Logitscope.",
    "Answer the questions of the person.",
)
ROLES = {">": "user", "<": "assistant"}
FRAMES = (
    "What {verb} {topic}?",
    "What {verb} {topic}?",
    "What exactly {verb} {topic}?",
    "So what {verb} {topic}?",
    "And what {verb} {topic}?",
    "In simple words, what {verb} {topic}?",
    "Explain {topic}.",
    "Please explain {topic}.",
    "Explain {topic} to me.",
    "Can you explain {topic}?",
    "Could you explain {topic} to me?",
    "Can you explain what {topic} {verb}?",
    "How would you explain {topic}?",
    "Tell me about {topic}.",
    "Can you tell me about {topic}?",
    "Tell me what {topic} {verb}.",
    "Can you tell me what {topic} {verb}?",
    "Tell me something about {topic}.",
    "Do you know what {topic} {verb}?",
    "What do you know about {topic}?",
    "I don't understand {topic}.",
    "I don't know what {topic} {verb}.",
    "I want to know what {topic} {verb}.",
    "I would like to learn about {topic}.",
    "Help me understand {topic}.",
    "Describe {topic}.",
    "Define {topic}.",
    "{bare}?",
)
# How much likelier than by its number of exchanges a file is drawn for the middle of a conversation.
EMPHASIS = {
    "self": 3.0,
    "machine": 3.0,
    "machine_talk": 1.5,
    "facts_nature": 3.0,
    "facts_world": 3.0,
    "unknown": 1.5,
    "stories": 0.6,
    "poems": 0.6,
}
EDGES = ("opening", "closing", "untold")  # drawn for their own places
RULE_SHARE = 0.45  # of the middle exchanges


@dataclass(frozen=True)
class Written:
    """One hand-written exchange: the other ways to open it, and its turns with their alternatives."""

    turns: Exchange
    frames: list[str] = field(default_factory=list)

    def spoken(self, dice: random.Random) -> list[Turn]:
        """One wording of it."""
        turns = self.turns
        if self.frames and dice.random() < 0.5:
            turns = [("user", self.frames), *turns[1:]]
        return worded(turns, dice, typos=True)


def worded(exchange: Exchange, dice: random.Random, typos: bool) -> list[Turn]:
    """One of the alternatives of every turn. What is to be repeated or remembered must come without typos."""
    chosen = [(role, dice.choice(wordings)) for role, wordings in exchange]
    return [(role, as_typed(text, dice, typos) if role == "user" else text) for role, text in chosen]


def framed(topic: str, verb: str) -> list[str]:
    """The ways to ask what something is; `bare` is it without its article."""
    bare = re.sub(r"^(an?|the) ", "", topic)
    found = [frame.format(topic=topic, verb=verb, bare=bare) for frame in FRAMES]
    return [text[0].upper() + text[1:] for text in found]


def read(path: Path) -> list[Written]:
    """The exchanges of one file."""
    found: list[Written] = []
    for block in filled_in(path.read_text(encoding="utf-8")).split("\n\n"):
        turns: Exchange = []
        frames: list[str] = []
        for line in block.splitlines():
            if line[:1] == "?":
                topic, _, verb = line[2:].rpartition(" ")
                frames = framed(topic, verb)
            elif line[:1] in ROLES:
                turns.append((ROLES[line[0]], line[2:].split(" | ")))
        if turns:
            found.append(Written(turns, frames))
    return found


def all_written() -> dict[str, list[Written]]:
    """The exchanges of each file, by its name."""
    return {path.stem: read(path) for path in sorted(FOLDER.glob("*.txt"))}


def deck(cards: list[Written], dice: random.Random) -> Callable[[], Written]:
    """Deals every exchange once before any comes again."""
    left: list[Written] = []

    def deal() -> Written:
        if not left:
            left.extend(cards)
            dice.shuffle(left)
        return left.pop()

    return deal


def documents(count: int, seed: int = 7) -> list[Document]:
    """So many conversations."""
    dice = random.Random(seed)
    written = all_written()
    deal = {name: deck(found, dice) for name, found in written.items()}
    middle = [name for name in written if name not in EDGES]
    weights = [len(written[name]) * EMPHASIS.get(name, 1.0) for name in middle]

    def an_exchange() -> list[Turn]:
        if dice.random() < RULE_SHARE:
            return worded(exchanges.by_rule(dice), dice, typos=False)
        return deal[dice.choices(middle, weights)[0]]().spoken(dice)

    def a_conversation() -> list[Turn]:
        turns: list[Turn] = []
        if dice.random() < 0.1:
            turns.append(("system", dice.choice(SYSTEMS)))
        if dice.random() < 0.2:
            turns += deal["opening"]().spoken(dice)
        told, asked = memory.told(dice) if dice.random() < 0.3 else ([], [])
        for exchange in told:
            turns += worded(exchange, dice, typos=False)
            if dice.random() < 0.3:
                turns += an_exchange()
        for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
            turns += an_exchange()
        for exchange in asked:
            turns += worded(exchange, dice, typos=False)
        if not told and dice.random() < 0.05:
            turns += deal["untold"]().spoken(dice)
        if dice.random() < 0.12:
            turns += deal["closing"]().spoken(dice)
        return turns

    return [Document(source="own", turns=tuple(a_conversation())) for _ in range(count)]
