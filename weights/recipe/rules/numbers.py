"""Numbers in their order: what comes next, counting, bigger and smaller, even and odd. Knows no sum."""

from __future__ import annotations

import random

from weights.recipe.rules.sums import number_word, with_both
from weights.recipe.rules.words import Exchange, exchange, listed

NEXT = listed(
    "What number comes after {a}?|What comes after {a}?|Which number comes after {a}?|"
    "What is the next number after {a}?|"
    "Which number is next after {a}?|I count and say {a}. What is next?|What follows {a}?|"
    "Tell me the number after {a}.|Which number is one more than {a}?|What is one more than {a}?"
)
BEFORE = listed(
    "What number comes before {a}?|What comes before {a}?|Which number comes before {a}?|"
    "What is the number just before {a}?|Which number is right before {a}?|Tell me the number before {a}.|"
    "Which number is one less than {a}?|What is one less than {a}?|I count down and say {a}. What is next?"
)


def neighbor(dice: random.Random) -> Exchange:
    number = dice.randint(1, 30)
    if dice.random() < 0.6:
        return exchange(with_both(NEXT, number), [f"{number + 1} comes after {number}."])
    return exchange(with_both(BEFORE, number), [f"{number - 1} comes before {number}."])


def counting(dice: random.Random) -> Exchange:
    low = 1 if dice.random() < 0.6 else dice.randint(2, 12)
    high = dice.randint(low + 2, min(low + 9, 20))
    if dice.random() < 0.6:
        asked = [
            f"Count from {low} to {high}.",
            f"Can you count from {low} to {high}?",
            f"Please count from {low} up to {high}.",
            f"Say the numbers from {low} to {high}.",
            f"Start at {low} and count to {high}.",
            f"Which numbers are there from {low} to {high}?",
            f"Count up from {low} and stop at {high}.",
            f"Count from {number_word(low)} to {number_word(high)}.",
        ]
        if low == 1:
            asked += [f"Count to {high}.", f"Can you count to {high}?", f"Count to {number_word(high)}, please."]
        return exchange(asked, [", ".join(str(number) for number in range(low, high + 1)) + "."])
    asked = [
        f"Count down from {high} to {low}.",
        f"Can you count down from {high} to {low}?",
        f"Count backwards from {high} to {low}.",
        f"Please count back from {high} to {low}.",
        f"Say the numbers from {high} down to {low}.",
        f"Start at {high} and count down to {low}.",
        f"Count from {high} to {low}.",
        f"Count down from {number_word(high)} to {number_word(low)}.",
    ]
    return exchange(asked, [", ".join(str(number) for number in range(high, low - 1, -1)) + "."])


def larger(dice: random.Random) -> Exchange:
    a, b = dice.sample(range(31), 2)
    big, small = max(a, b), min(a, b)
    x, y = (a, b) if dice.random() < 0.7 else (number_word(a), number_word(b))
    chance = dice.random()
    if chance < 0.4:
        asked = [
            f"Which is bigger, {x} or {y}?",
            f"What is bigger, {x} or {y}?",
            f"Which number is larger, {x} or {y}?",
            f"Is {x} or {y} the bigger number?",
            f"{x} or {y}: which is more?",
            f"Which one is more, {x} or {y}?",
            f"Tell me the bigger number: {x} or {y}?",
            f"Look at {x} and {y}. Which number is bigger?",
        ]
        return exchange(asked, [f"{big} is bigger than {small}."])
    if chance < 0.7:
        asked = [
            f"Which is smaller, {x} or {y}?",
            f"What is smaller, {x} or {y}?",
            f"Which number is smaller, {x} or {y}?",
            f"Is {x} or {y} the smaller number?",
            f"{x} or {y}: which is less?",
            f"Which one is less, {x} or {y}?",
            f"Tell me the smaller number: {x} or {y}?",
            f"Look at {x} and {y}. Which number is smaller?",
        ]
        return exchange(asked, [f"{small} is smaller than {big}."])
    asked = [
        f"Is {x} bigger than {y}?",
        f"Is {x} more than {y}?",
        f"Is it true that {x} is larger than {y}?",
        f"{x} is bigger than {y}, right?",
        f"Is {y} smaller than {x}?",
        f"Is {y} less than {x}?",
        f"I think {x} is bigger than {y}. Am I right?",
    ]
    return exchange(asked, [f"{'Yes' if a > b else 'No'}, {big} is bigger than {small}."])


def even_or_odd(dice: random.Random) -> Exchange:
    number = dice.randint(0, 20)
    kind, guess = ("odd" if number % 2 else "even"), dice.choice(("even", "odd"))
    x = number if dice.random() < 0.7 else number_word(number)
    if dice.random() < 0.6:
        asked = [
            f"Is {x} even or odd?",
            f"Is {x} odd or even?",
            f"Is {x} an even or an odd number?",
            f"Tell me if {x} is even or odd.",
            f"What is {x}, even or odd?",
            f"{x}: even or odd?",
            f"Do you know if {x} is odd or even?",
            f"Which is it for {x}, even or odd?",
        ]
        return exchange(asked, [f"{number} is {kind}."])
    asked = [
        f"Is {x} {guess}?",
        f"Is {x} an {guess} number?",
        f"Is it true that {x} is {guess}?",
        f"{x} is {guess}, right?",
        f"I think {x} is {guess}. Is that right?",
        f"Would you say that {x} is an {guess} number?",
    ]
    return exchange(asked, [f"{'Yes' if guess == kind else 'No'}, {number} is {kind}."])
