"""Exchanges that follow a rule: sums, opposites, what comes next. Knows no file.

Every sentence is a whole one with slots whose fillers all fit; the words and the simplest tables stand in words.txt.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from weights.recipe.words import Exchange, exchange, filled, pair, words


def one(thing: str) -> str:
    return f"an {thing}" if thing[0] in "aeiou" else f"a {thing}"


def addition(dice: random.Random) -> Exchange:
    a, b = dice.randint(0, 10), dice.randint(0, 10)
    asked = [f"What is {a} plus {b}?", f"{a} + {b}", f"How much is {a} plus {b}?", f"What is {a} + {b}?", f"{a}+{b}=?"]
    return exchange(asked, [f"{a} plus {b} is {a + b}."])


def subtraction(dice: random.Random) -> Exchange:
    a = dice.randint(1, 10)
    b = dice.randint(0, a)
    asked = [f"What is {a} minus {b}?", f"{a} - {b}", f"How much is {a} minus {b}?", f"What is {a} - {b}?"]
    return exchange(asked, [f"{a} minus {b} is {a - b}."])


def opposite(dice: random.Random) -> Exchange:
    both = list(pair(dice, "opposites"))
    if both not in (["new", "old"], ["tall", "short"], ["heavy", "light"]):  # these go one way only
        dice.shuffle(both)
    a, b = both
    asked = [
        f"What is the opposite of {a}?",
        f"What's the opposite of {a}?",
        f"Opposite of {a}?",
        f"{a} is the opposite of what?",
    ]
    return exchange(asked, [f"The opposite of {a} is {b}."])


def bigger(dice: random.Random) -> Exchange:
    big, small = pair(dice, "bigger")
    a, b = dice.sample([big, small], 2)

    if dice.random() < 0.5:
        asked = [
            f"What is bigger, {one(a)} or {one(b)}?",
            f"Which is bigger, {one(a)} or {one(b)}?",
            f"Is {one(a)} bigger than {one(b)}?",
        ]
        answer = f"{one(big)} is bigger than {one(small)}."
    else:
        asked = [f"What is smaller, {one(a)} or {one(b)}?", f"Which is smaller, {one(a)} or {one(b)}?"]
        answer = f"{one(small)} is smaller than {one(big)}."
    return exchange(asked, [answer])


def next_in_row(dice: random.Random) -> Exchange:
    row, what = dice.choice([(words("days"), "day"), (words("months"), "month")])
    place = dice.randrange(len(row))
    this, after, before = row[place], row[(place + 1) % len(row)], row[place - 1]
    if dice.random() < 0.6:
        return exchange(
            [f"What {what} comes after {this}?", f"Which {what} comes after {this}?", f"What comes after {this}?"],
            [f"{after} comes after {this}."],
        )
    return exchange(
        [f"What {what} comes before {this}?", f"Which {what} comes before {this}?", f"What comes before {this}?"],
        [f"{before} comes before {this}."],
    )


def next_number(dice: random.Random) -> Exchange:
    number = dice.randint(1, 20)
    asked = [f"What number comes after {number}?", f"What comes after {number}?", f"Which number comes after {number}?"]
    return exchange(asked, [f"{number + 1} comes after {number}."])


def spelling(dice: random.Random) -> Exchange:
    word = dice.choice(words("spelled"))
    asked = [f"How do you spell {word}?", f"Spell {word}.", f"Can you spell {word}?", f"Spell the word {word}."]
    return exchange(asked, [f"{'-'.join(word.upper())}."])


def saying(dice: random.Random) -> Exchange:
    word = dice.choice([*words("spelled"), *words("colors"), *words("foods"), *words("said")])
    return exchange(
        [f"Say {word}.", f"Please say {word}.", f"Can you say {word}?", f"Repeat: {word}"],
        [f"{word}."],
    )


def able(dice: random.Random) -> Exchange:
    who, act, truth = dice.choice(words("able")).split(":")
    asked = [f"Can {one(who)} {act}?", f"Is it true that {one(who)} can {act}?"]
    return exchange(asked, [f"Yes, {one(who)} can {act}." if truth == "yes" else f"No, {one(who)} cannot {act}."])


def larger_number(dice: random.Random) -> Exchange:
    a, b = dice.sample(range(1, 21), 2)
    asked = [f"Which is bigger, {a} or {b}?", f"What is bigger, {a} or {b}?", f"Which number is larger, {a} or {b}?"]
    return exchange(asked, [f"{max(a, b)} is bigger than {min(a, b)}."])


def even_or_odd(dice: random.Random) -> Exchange:
    number = dice.randint(1, 20)
    kind = "odd" if number % 2 else "even"
    return exchange([f"Is {number} even or odd?", f"Is {number} odd or even?"], [f"{number} is {kind}."])


def liking(dice: random.Random) -> Exchange:
    chance = dice.random()
    if chance < 0.35:
        food = dice.choice(words("foods"))
        asked = [f"Do you like {food}?", f"Do you like to eat {food}?"]
        return exchange(asked, [f"I can't eat, but {food} must be good. Do you like {food}?"])
    animals = chance < 0.7
    thing, why = pair(dice, "liked animals" if animals else "liked things")
    verb = "are" if animals or thing in ("flowers", "books", "stories", "trees", "poems") else "is"
    pronoun = "They" if verb == "are" else "It"
    asked = [f"Do you like {thing}?", f"What do you think about {thing}?", f"Don't you like {thing}?"]
    return exchange(asked, [f"I like {thing}. {pronoun} {verb} {why}.", f"Yes! {pronoun} {verb} {why}. And you?"])


def form(dice: random.Random) -> Exchange:
    return filled(dice, "plural" if dice.random() < 0.5 else "past")


def table(name: str) -> Callable[[random.Random], Exchange]:
    return partial(filled, name=name)


# How often each is drawn.
RULES: tuple[tuple[Callable[[random.Random], Exchange], int], ...] = (
    (addition, 8),
    (subtraction, 5),
    (opposite, 5),
    (table("color"), 3),
    (table("sound"), 2),
    (table("young"), 2),
    (table("kind"), 3),
    (bigger, 2),
    (next_in_row, 3),
    (next_number, 1),
    (spelling, 1),
    (saying, 2),
    (table("capital"), 3),
    (table("rhyme"), 2),
    (form, 2),
    (table("alike"), 2),
    (table("tool"), 2),
    (able, 2),
    (larger_number, 1),
    (even_or_odd, 1),
    (liking, 4),
)


def by_rule(dice: random.Random) -> Exchange:
    makers, weights = zip(*RULES, strict=True)
    made: Exchange = dice.choices(makers, weights)[0](dice)
    return made
