"""Each public source as clean documents: what is taken from it, and what is left out.

The only file that knows the sources' names and shapes; knows no tokenizer and no model.
"""

from __future__ import annotations

import json
import lzma
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from weights.recipe.corpus.cleaning import MARKDOWN, normalised, sentence, share_known, unwanted, words

Turn = tuple[str, str]  # role, text

SIMPLE_BOOKS = (
    "alice-in-wonderland",
    "wizard-of-oz",
    "black-beauty",
    "five-children-and-it",
    "princess-and-goblin",
    "robin-hood",
    "tom-sawyer",
)
PLEASANT_TOPICS = [
    "greetings",
    "conversations",
    "food",
    "humor",
    "science",
    "trivia",
    "emotion",
    "psychology",
    "health",
    "literature",
    "money",
    "sports",
    "history",
]
FRIENDLY = ("Friendly", "Professional")


@dataclass(frozen=True, kw_only=True)
class Document:
    """One text, or one conversation, of one source."""

    source: str
    text: str = ""
    turns: tuple[Turn, ...] = ()


def rows(corpus: Path, source: str) -> Iterator[dict[str, Any]]:
    with lzma.open(corpus / f"{source}.jsonl.xz", "rt", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def stories(corpus: Path) -> Iterator[Document]:
    for row in rows(corpus, "tinystories"):
        text = re.sub(r"\n{2,}", "\n\n", normalised(row["text"]))
        if len(words(text)) >= 30 and text[-1] in '.!?"' and not unwanted(text):
            yield Document(source="tinystories", text=text)


def books(corpus: Path) -> Iterator[Document]:
    """Simple books in pieces of some paragraphs, lines joined, headings and contents dropped."""
    for row in rows(corpus, "pd_childrens_books"):
        if not any(name in row["file"] for name in SIMPLE_BOOKS):
            continue
        paragraphs = [re.sub(r"\s*\n\s*", " ", part) for part in re.split(r"\n\s*\n", normalised(row["text"]))]
        piece: list[str] = []
        for paragraph in paragraphs:
            paragraph = paragraph.replace("_", "").replace("--", " - ")
            if len(words(paragraph)) < 8 or paragraph[-1] not in ".!?\"'" or unwanted(paragraph):
                continue
            piece.append(paragraph)
            if sum(map(len, piece)) > 1200:
                yield Document(source="pd_childrens_books", text="\n\n".join(piece))
                piece = []


def conversation(source: str, messages: list[dict[str, str]], longest: int, system: str = "") -> Document | None:
    """The clean turns up to the first that is not, ending with the assistant; None if nothing is left."""
    turns: list[Turn] = []
    for place, message in enumerate(messages):
        role, text = message["role"], normalised(message["content"])
        if role != ("user", "assistant")[place % 2] or unwanted(text) or MARKDOWN.search(text):
            break
        if not 1 <= len(text.split()) <= longest or (not words(text) and not any(char.isdigit() for char in text)):
            break
        turns.append((role, sentence(text)))
    if len(turns) % 2:
        turns.pop()
    opening: list[Turn] = [("system", system)] if system else []
    return Document(source=source, turns=(*opening, *turns)) if turns else None


def persona(text: str) -> str:
    """Facts about who the assistant plays, as a system prompt."""
    return " ".join(sentence(line.strip().replace(" s ", "'s ")) for line in text.splitlines() if line.strip())


def persona_chat(corpus: Path) -> Iterator[Document]:
    for row in rows(corpus, "synthetic_persona_chat"):
        who = normalised(row["persona_assistant"])
        if unwanted(who):
            continue
        found = conversation("synthetic_persona_chat", row["messages"], 40, f"You are a person. {persona(who)}")
        if found and len(found.turns) >= 5:
            yield found


def dialogues(corpus: Path, source: str, known: frozenset[str], simple: float, floor: float) -> Iterator[Document]:
    """The conversations of short turns between people: those in everyday words, and, apart, those in fewer of them."""
    dice = random.Random(1)
    for row in rows(corpus, source):
        messages = row["messages"]
        whole = " ".join(message["content"] for message in messages)
        share = share_known(whole, known)
        if not any(char.isupper() for char in whole) or share < floor:
            continue
        system = dice.choice(("", "You are a person."))  # half of them, so that the model keeps a self of its own
        found = conversation(source if share >= simple else f"{source}_wide", messages, 32, system)
        if found and len(found.turns) >= 4:
            yield found


def coffee(corpus: Path) -> Iterator[Document]:
    for row in rows(corpus, "taskmaster4_coffee"):
        found = conversation("taskmaster4_coffee", row["messages"], 40, "You work in a coffee shop.")
        if found:
            yield found


def questions(corpus: Path) -> Iterator[Document]:
    """Short questions and answers, and small talk."""
    for row in rows(corpus, "chatterbot_english"):
        found = conversation("chatterbot_english", row["messages"], 40)
        if found and row["topic"] in PLEASANT_TOPICS:
            yield found
    for row in rows(corpus, "personality_chat"):
        found = conversation("personality_chat", row["messages"], 40)
        if found and row["persona"] in FRIENDLY:
            yield found
    for source in ("apache_small_instruct", "paredez_conversational"):
        for row in rows(corpus, source):
            found = conversation(source, row["messages"], 60)
            if found:
                yield found


def everyday_words(documents: list[Document], count: int) -> frozenset[str]:
    """The most frequent words of the simplest sources."""
    counted: Counter[str] = Counter()
    for document in documents:
        counted.update(words(document.text or " ".join(text for _, text in document.turns)))
    return frozenset(word for word, _ in counted.most_common(count))


def documents(corpus: Path) -> list[Document]:
    """Everything taken, each text once, in a fixed shuffled order."""
    simple = [*stories(corpus), *persona_chat(corpus)]
    known = everyday_words(simple, 4000)
    everything = [
        *simple,
        *books(corpus),
        *dialogues(corpus, "self_dialogue", known, simple=0.93, floor=0.86),
        *dialogues(corpus, "topical_chat", known, simple=0.86, floor=0.83),
        *coffee(corpus),
        *questions(corpus),
    ]
    once = list({(document.text, document.turns): document for document in everything}.values())
    random.Random(0).shuffle(once)
    return once
