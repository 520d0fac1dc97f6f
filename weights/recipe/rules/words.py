"""Reads words.txt, lists.txt and facts.txt: lists of words, and tables with the wordings they fill. Knows no rule.

A line of a group says by its first mark what it is:
  > asked and < answered, the wordings of one kind of question (a group may have several kinds);
  ? asked, + answered with yes and - answered with no, where {x} is the value that is asked about, right or wrong;
  % values that are too near each other for one to be called wrong where the other is right;
  * both ways: an entry a:b is one of b:a too, unless b stands in another entry.
The other lines are entries between commas, and the parts of an entry, between colons, fill {a}, {b} and so on.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

Exchange = list[tuple[str, list[str]]]  # role, alternatives

TEXTS = tuple(Path(__file__).with_name(name) for name in ("words.txt", "lists.txt", "facts.txt"))
MARKS = "><?+-%*=&@"


@dataclass
class Group:
    """Entries, and the lines of wordings behind each mark, in the order they stand in."""

    entries: list[str] = field(default_factory=list)
    wordings: dict[str, list[list[str]]] = field(default_factory=lambda: {mark: [] for mark in MARKS})

    def only(self, mark: str) -> list[str]:
        """The wordings of a mark that stands once."""
        (found,) = self.wordings[mark]
        return found

    def kinds(self) -> list[tuple[list[str], list[str]]]:
        return list(zip(self.wordings[">"], self.wordings["<"], strict=True))


def read(text: str) -> dict[str, Group]:
    found: dict[str, Group] = {}
    for block in text.split("\n## ")[1:]:
        name, *lines = block.strip().split("\n")
        group = found[name] = Group()
        rest: list[str] = []
        for line in lines:
            if line[0] in MARKS and line[1] == " ":
                group.wordings[line[0]].append(line[2:].split(" | "))
            else:
                rest.append(line)
        group.entries = [entry for entry in " ".join(rest).strip(",").split(", ") if entry]
        if group.wordings["*"]:
            group.entries += reversed_entries(group.entries)
    return found


def reversed_entries(entries: list[str]) -> list[str]:
    """Short is the opposite of long and of tall, so nobody should be asked for the opposite of short."""
    parts = [entry.split(":") for entry in entries]
    every = [part for entry in parts for part in entry]
    return [":".join([b, a, *rest]) for a, b, *rest in parts if every.count(b) == 1]


@cache
def groups() -> dict[str, Group]:
    found: dict[str, Group] = {}
    for path in TEXTS:
        for name, group in read(path.read_text(encoding="utf-8")).items():
            if name in found:
                raise ValueError(f"two groups are called {name}")
            found[name] = group
    return found


def words(name: str) -> list[str]:
    return groups()[name].entries


def pair(dice: random.Random, name: str) -> tuple[str, str]:
    first, second = dice.choice(words(name)).split(":")
    return first, second


def listed(text: str) -> list[str]:
    """Many short wordings, written with bars between them."""
    return text.split("|")


def slots(entry: str) -> dict[str, str]:
    return dict(zip("abcde", entry.split(":"), strict=False))


def capital(text: str) -> str:
    """Every sentence begins with one."""
    return re.sub(r"(?:^|(?<=[.!?] ))[a-z]", lambda letter: letter[0].upper(), text)


def one(thing: str) -> str:
    """With its article."""
    return f"an {thing}" if thing[0] in "aeiou" and not thing.startswith(("uni", "use", "one")) else f"a {thing}"


def exchange(asked: list[str], answered: list[str]) -> Exchange:
    return [("user", [capital(text) for text in asked]), ("assistant", [capital(text) for text in answered])]


def wrong(dice: random.Random, group: Group, of: dict[str, str]) -> str:
    """A value of another entry that nobody could take for a right one of this entry."""
    right = {slots(entry)["b"] for entry in group.entries if slots(entry)["a"] == of["a"]} | {of["a"]}
    for (near,) in group.wordings["%"]:
        if right & set(near.split(", ")):
            right |= set(near.split(", "))
    others = sorted({slots(entry)["b"] for entry in group.entries} - right)
    return dice.choice(others)


def doubted(dice: random.Random, group: Group, of: dict[str, str]) -> Exchange:
    """The question to be answered with yes or no."""
    true = dice.random() < 0.5
    of = of | {"x": of["b"] if true else wrong(dice, group, of)}
    answered = group.only("+" if true else "-")
    return exchange([text.format(**of) for text in group.only("?")], [text.format(**of) for text in answered])


def filled(dice: random.Random, name: str) -> Exchange:
    """One entry of a table, in the wordings of one kind of question."""
    group = groups()[name]
    of = slots(dice.choice(group.entries))
    if group.wordings["?"] and dice.random() < 0.25:
        return doubted(dice, group, of)
    kinds = group.kinds()
    # The first kind is what people ask most.
    asked, answered = kinds[0] if dice.random() < 0.5 else dice.choice(kinds)
    return exchange([text.format(**of) for text in asked], [text.format(**of) for text in answered])
