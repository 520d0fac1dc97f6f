"""Exchanges that follow a rule: one is drawn from all the rules there are. The rules themselves stand in their files.

Every sentence is a whole one with slots whose fillers all fit; the tables stand in words.txt.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial

from weights.recipe.rules import echo, letters, numbers, problems, rows
from weights.recipe.rules.sums import addition, checked, double, half, multiplication, subtraction, too_big
from weights.recipe.rules.words import Exchange, exchange, filled, one, pair, words

Rule = Callable[[random.Random], Exchange]


def bigger(dice: random.Random) -> Exchange:
    big, small = pair(dice, "bigger")
    a, b = dice.sample([big, small], 2)
    chance = dice.random()
    if chance < 0.4:
        asked = [
            f"What is bigger, {one(a)} or {one(b)}?",
            f"Which is bigger, {one(a)} or {one(b)}?",
            f"{one(a)} or {one(b)}: which is larger?",
            f"Which one is larger, {one(a)} or {one(b)}?",
            f"Tell me what is bigger, {one(a)} or {one(b)}.",
            f"Is {one(a)} or {one(b)} bigger?",
            f"Look at {one(a)} and {one(b)}. Which is bigger?",
            f"Which thing has more size, {one(a)} or {one(b)}?",
        ]
        return exchange(asked, [f"{one(big)} is bigger than {one(small)}."])
    if chance < 0.65:
        asked = [
            f"What is smaller, {one(a)} or {one(b)}?",
            f"Which is smaller, {one(a)} or {one(b)}?",
            f"{one(a)} or {one(b)}: which is smaller?",
            f"Which one is smaller, {one(a)} or {one(b)}?",
            f"Tell me what is smaller, {one(a)} or {one(b)}.",
            f"Is {one(a)} or {one(b)} smaller?",
            f"Look at {one(a)} and {one(b)}. Which is smaller?",
            f"Which needs less room, {one(a)} or {one(b)}?",
        ]
        return exchange(asked, [f"{one(small)} is smaller than {one(big)}."])
    asked = [
        f"Is {one(a)} bigger than {one(b)}?",
        f"Is it true that {one(a)} is bigger than {one(b)}?",
        f"Is {one(a)} larger than {one(b)}?",
        f"Is {one(b)} smaller than {one(a)}?",
        f"{one(a)} is bigger than {one(b)}, right?",
        f"I think {one(a)} is bigger than {one(b)}. Am I right?",
    ]
    return exchange(asked, [f"{'Yes' if a == big else 'No'}, {one(big)} is bigger than {one(small)}."])


def liking(dice: random.Random) -> Exchange:
    chance = dice.random()
    if chance < 0.35:
        food = dice.choice(words("foods") + words("food in numbers"))
        asked = [
            f"Do you like {food}?",
            f"Do you like to eat {food}?",
            f"Would you like some {food}?",
            f"Can you eat {food}?",
            f"Is {food} something that you like?",
            f"How do you like {food}?",
            f"Have you ever tasted {food}?",
            f"Do you want some {food}?",
        ]
        told = [f"I can't eat, but I hear that {food} can be tasty. Do you like {food}?"]
        return exchange(asked, [*told, f"I can't eat, so {food} would be lost on me. Do you like {food}?"])
    if chance < 0.7:
        thing, quality = pair(dice, "liked animals")
        pronoun, why = "They", f"are {quality}"
    else:
        thing, why = pair(dice, "liked things")
        pronoun = "They" if why.startswith("are ") else "It"
    asked = [
        f"Do you like {thing}?",
        f"What do you think about {thing}?",
        f"Don't you like {thing}?",
        f"How do you like {thing}?",
        f"Tell me what you think of {thing}.",
        f"Do you love {thing}?",
        f"What is your opinion about {thing}?",
        f"Are you a friend of {thing}?",
    ]
    return exchange(asked, [f"I like {thing}. {pronoun} {why}.", f"I like {thing}! {pronoun} {why}. And you?"])


def table(name: str) -> Rule:
    return partial(filled, name=name)


# How often each is drawn.
RULES: tuple[tuple[Rule, int], ...] = (
    (addition, 20),
    (subtraction, 14),
    (multiplication, 6),
    (double, 2),
    (half, 2),
    (checked, 2),
    (too_big, 2),
    (problems.problem, 8),
    (numbers.neighbor, 3),
    (numbers.counting, 3),
    (numbers.larger, 3),
    (numbers.even_or_odd, 3),
    (letters.spelling, 14),
    (letters.reading, 2),
    (letters.an_end, 4),
    (letters.how_many, 4),
    (letters.starting, 2),
    (letters.beginning, 2),
    (letters.in_capitals, 2),
    (echo.repeating, 7),
    (echo.saying, 3),
    (echo.twice, 1),
    (echo.around, 2),
    (rows.neighbor, 6),
    (rows.from_today, 3),
    (rows.numbered, 1),
    (table("opposites"), 12),
    (table("color"), 4),
    (table("sound"), 3),
    (table("young"), 3),
    (table("home"), 3),
    (table("class"), 4),
    (table("kind"), 3),
    (table("capital"), 7),
    (table("continent"), 3),
    (table("rhyme"), 4),
    (table("plural"), 4),
    (table("past"), 4),
    (table("compared"), 2),
    (table("alike"), 4),
    (table("tool"), 3),
    (table("work"), 3),
    (table("material"), 3),
    (table("able"), 3),
    (bigger, 3),
    (liking, 4),
)


def by_rule(dice: random.Random) -> Exchange:
    makers, weights = zip(*RULES, strict=True)
    made: Exchange = dice.choices(makers, weights)[0](dice)
    return made
