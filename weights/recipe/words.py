"""Reads words.txt: lists of words, and tables of questions and answers with slots. Knows no rule."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

Exchange = list[tuple[str, list[str]]]  # role, alternatives

TEXT = Path(__file__).with_name("words.txt")


@dataclass
class Group:
    """Entries, and the wordings that they fill, if it has any."""

    entries: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    answered: list[str] = field(default_factory=list)


@cache
def groups() -> dict[str, Group]:
    found: dict[str, Group] = {}
    for block in TEXT.read_text(encoding="utf-8").split("\n## ")[1:]:
        name, *lines = block.strip().split("\n")
        group = found[name] = Group()
        rest: list[str] = []
        for line in lines:
            if line.startswith("> "):
                group.asked = line[2:].split(" | ")
            elif line.startswith("< "):
                group.answered = line[2:].split(" | ")
            else:
                rest.append(line)
        group.entries = " ".join(rest).split(", ")
    return found


def words(name: str) -> list[str]:
    return groups()[name].entries


def pair(dice: random.Random, name: str) -> tuple[str, str]:
    first, second = dice.choice(words(name)).split(":")
    return first, second


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def exchange(asked: list[str], answered: list[str]) -> Exchange:
    return [("user", asked), ("assistant", [capital(text) for text in answered])]


def filled(dice: random.Random, name: str) -> Exchange:
    """One entry of a table, in its wordings."""
    a, b = pair(dice, name)
    group = groups()[name]
    return exchange([text.format(a=a, b=b) for text in group.asked], [text.format(a=a, b=b) for text in group.answered])
