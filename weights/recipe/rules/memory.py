"""What the person tells about themself, and the questions, turns later, that need it. The facts stand in facts.txt.

Every way of telling gives two lists: the exchanges in which it is told, and those in which it is asked for. Others may
come between any two of them.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from weights.recipe.rules.words import Exchange, Group, exchange, groups, listed, words

Memory = tuple[list[Exchange], list[Exchange]]

PREFIX = "fact "
# What people tell most.
FIRST = "name"
# A child of seven has no children and no job.
APART = ({"age", "children"}, {"age", "job"})
# Who says it again with another value may mean both.
ADDED = ("lost",)
CORRECTIONS = listed(
    "No, |No, wait, |Sorry, I was wrong: |I made a mistake: |Oh, that was wrong: |No, that is not right: |"
    "Let me correct that: |Wait, that was wrong: "
)
KNOWN = listed(
    "What do you know about me?|Tell me what you know about me.|What did I tell you about me?|"
    "What do you remember about me?|"
    "Do you know anything about me?|What have you learned about me?|Can you say what I told you?|"
    "What did I say about myself?|Do you remember what I told you?"
)
GOODBYES = listed(
    "Goodbye!|Bye!|See you!|I have to go now.|Bye bye|Good night!|I must leave now. Bye!|See you later!|"
    "That's all. Goodbye!|"
    "Thank you and goodbye!|Time to go. Bye!"
)


@dataclass(frozen=True)
class Fact:
    """One thing about the person, in the wordings of its kind."""

    kind: str
    value: str  # what is asked for
    guess: str  # another one
    whose: str  # what has that value, if it is not the person: a pet

    @property
    def group(self) -> Group:
        return groups()[PREFIX + self.kind]

    @property
    def slots(self) -> dict[str, str]:
        first = self.whose or self.value
        return {"a": first, "b": self.value, "y": f" {first}".replace(" my ", " your ").strip()}

    def wordings(self, mark: str, x: str = "") -> list[str]:
        return [text.format(**self.slots, x=x) for text in self.group.only(mark)]

    def telling(self) -> Exchange:
        return exchange(self.wordings(">"), self.wordings("<"))

    def asking(self) -> Exchange:
        return exchange(self.wordings("?"), self.wordings("+"))

    def guessing(self, right: bool) -> Exchange:
        answered = [f"{'Yes' if right else 'No'}, {text}." for text in self.wordings("@")]
        return exchange(self.wordings("%", self.value if right else self.guess), answered)

    def not_told(self) -> Exchange:
        return exchange(self.wordings("?"), self.wordings("-"))


def kinds() -> list[str]:
    return [name.removeprefix(PREFIX) for name in groups() if name.startswith(PREFIX)]


def drawn(dice: random.Random, kind: str) -> Fact:
    lists = [[word for name in source.split(" + ") for word in words(name)] for source in sources(kind)]
    *before, last = lists
    value, guess = dice.sample(last, 2)
    return Fact(kind, value, guess, dice.choice(before[0]) if before else "")


def sources(kind: str) -> list[str]:
    return groups()[PREFIX + kind].only("=")


def one_fact(dice: random.Random) -> Fact:
    return drawn(dice, FIRST if dice.random() < 0.2 else dice.choice(kinds()))


def two_facts(dice: random.Random) -> tuple[Fact, Fact]:
    """Of two kinds that go together, with two values."""
    while True:
        first, second = one_fact(dice), one_fact(dice)
        both = {first.kind, second.kind}
        if len(both) == 2 and first.value != second.value and both not in APART:
            return first, second


def joined(dice: random.Random, facts: tuple[Fact, Fact], mark: str) -> str:
    """The clauses of both."""
    return " and ".join(dice.choice(fact.wordings(mark)) for fact in facts)


def name_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    fact = drawn(dice, FIRST)
    return fact.telling(), fact.asking()


def single(dice: random.Random) -> Memory:
    fact = one_fact(dice)
    return [fact.telling()], [fact.asking()]


def guessed(dice: random.Random) -> Memory:
    fact = one_fact(dice)
    return [fact.telling()], [fact.guessing(dice.random() < 0.5)]


def untold(dice: random.Random) -> Memory:
    """Something else is asked than what was told."""
    known, unknown = two_facts(dice)
    return [known.telling()], [unknown.not_told(), known.asking()][: dice.choice((1, 2))]


def some_of(dice: random.Random, facts: tuple[Fact, Fact]) -> list[Exchange]:
    """One or both are asked for, in any order."""
    return [fact.asking() for fact in dice.sample(facts, dice.choice((1, 1, 2)))]


def in_one_message(dice: random.Random) -> Memory:
    facts = two_facts(dice)
    said = [f"{joined(dice, facts, '&')}." for _ in range(6)]
    said += [f"{start}{joined(dice, facts, '&')}." for start in ("Hi, ", "Hello, ", "By the way, ")]
    known = joined(dice, facts, "@")
    replies = [f"Thank you for telling me! So {known}.", f"Good to know! So {known}.", f"I see! So {known}."]
    return [exchange(said, replies)], some_of(dice, facts)


def in_two_turns(dice: random.Random) -> Memory:
    facts = two_facts(dice)
    return [fact.telling() for fact in facts], some_of(dice, facts)


def all_known(dice: random.Random) -> Memory:
    facts = two_facts(dice)
    said = [fact.telling() for fact in facts]
    if dice.random() < 0.25:
        known = dice.choice(facts[0].wordings("@"))
        return said[:1], [exchange(KNOWN, [f"I know that {known}."])]
    known = joined(dice, facts, "@")
    return said, [exchange(KNOWN, [f"I know that {known}.", f"You told me that {known}."])]


def corrected(dice: random.Random) -> Memory:
    """The newer value counts."""
    old = one_fact(dice)
    while old.kind in ADDED:
        old = one_fact(dice)
    new = replace(old, value=old.guess, guess=old.value)
    clauses = new.wordings("&")
    said = [f"{start}{dice.choice(clauses)}." for start in CORRECTIONS]
    known = new.wordings("@")
    replies = [
        f"Oh, I see! So {dice.choice(known)}.",
        f"All right, {dice.choice(known)}.",
        f"Thank you! So {known[0]}.",
    ]
    asked = new.guessing(dice.random() < 0.5) if dice.random() < 0.2 else new.asking()
    return [old.telling() + exchange(said, replies)], [asked]


def goodbye(dice: random.Random) -> Memory:
    fact = drawn(dice, FIRST)
    name = fact.value
    replies = [f"Goodbye, {name}! Take care.", f"Bye, {name}! It was nice to talk with you.", f"See you, {name}!"]
    asking = [fact.asking()] if dice.random() < 0.3 else []
    return [fact.telling()], [*asking, exchange(GOODBYES, replies)]


# How often each is drawn.
WAYS = (
    (single, 8),
    (guessed, 2),
    (untold, 2),
    (in_one_message, 4),
    (in_two_turns, 5),
    (all_known, 3),
    (corrected, 3),
    (goodbye, 2),
)


def told(dice: random.Random) -> Memory:
    """The exchanges in which something is told, and those in which it is asked for."""
    ways, weights = zip(*WAYS, strict=True)
    made: Memory = dice.choices(ways, weights)[0](dice)
    return made
