"""Sums up to 20 and small products. Knows no story: those are in problems.py.

A reply says the sum again before its result: a tiny model computes best with all the numbers right before it.
"""

from __future__ import annotations

import random

from weights.recipe.rules.words import Exchange, exchange, listed

UNDER_TWENTY = listed(
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen"
)
TENS = listed("twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety")

FRAMES = listed(
    "What is {sum}?|What's {sum}?|what is {sum}|How much is {sum}?|how much is {sum}|Can you tell me what {sum} is?|"
    "Calculate {sum}.|Do you know what {sum} is?|Tell me what {sum} is.|Compute {sum}, please.|{sum} is what?|"
    "What does {sum} make?|I need to know what {sum} is."
)
SIGNED = "{a}+{b}|{a} + {b}|{a} + {b} = ?|{a}+{b}=|What is {a} + {b}?|what's {a}+{b}|{a} + {b} = |How much is {a}+{b}?"
ADDED = listed(
    "Add {a} and {b}.|Can you add {a} to {b}?|What do you get if you add {a} and {b}?|"
    "What is the sum of {a} and {b}?|"
    "sum of {a} and {b}|{a} and {b} together make what?|Please add {a} and {b}.|{a} plus {b} equals what?|"
    "What is {a} and {b} together?|If I add {a} and {b}, how much is it?"
)
TAKEN = listed(
    "Subtract {b} from {a}.|Take {b} away from {a}.|What is left if you take {b} from {a}?|"
    "Can you subtract {b} from {a}?|What is the difference between {a} and {b}?|{a} minus {b} equals what?|"
    "If I take {b} from {a}, what is left?|{a} take away {b}|How much is {a} less {b}?"
)
MULTIPLIED = listed(
    "Multiply {a} by {b}.|Can you multiply {a} by {b}?|What is the product of {a} and {b}?|"
    "What do you get if you multiply {a} by {b}?|{a} times {b} equals what?|Please multiply {a} and {b}.|"
    "What is {a} multiplied by {b}?"
)
DOUBLED = listed(
    "What is double {a}?|Double {a}.|Can you double {a}?|What is the double of {a}?|How much is twice {a}?|"
    "What is twice {a}?|Please double {a}.|What do I get if I double {a}?|Tell me the double of {a}."
)
HALVED = listed(
    "What is half of {a}?|Half of {a}?|Can you halve {a}?|How much is half of {a}?|What is the half of {a}?|"
    "What do I get if I halve {a}?|Tell me half of {a}.|What is {a} cut in half?|"
    "If I share {a} fairly by two, what is it?"
)
TOO_BIG = [
    "That sum is too big for me. A calculator can do it.",
    "Oh, these numbers are too big for me. Please ask a calculator.",
    "I am only good at small sums. A calculator can do this one.",
    "That is too hard for me, because I am tiny. A calculator will know it.",
]


def number_word(number: int) -> str:
    if number < 20:
        return UNDER_TWENTY[number]
    if number == 100:
        return "one hundred"
    ten, rest = divmod(number, 10)
    return TENS[ten - 2] + (f"-{UNDER_TWENTY[rest]}" if rest else "")


def asked(dice: random.Random, a: int, b: int, sign: str, word: str, more: list[str]) -> list[str]:
    """All the ways to ask, with digits and with words."""
    signed = SIGNED.replace("+", sign).split("|")
    found = [text.format(a=a, b=b).strip() for text in signed]
    for x, y in ((str(a), str(b)), (number_word(a), number_word(b))):
        found += [frame.format(sum=f"{x} {word} {y}") for frame in FRAMES]
        found += [text.format(a=x, b=y) for text in more]
    dice.shuffle(found)
    return found


def addition(dice: random.Random) -> Exchange:
    if dice.random() < 0.07:
        a, b = dice.choice(((10, 10), (20, 10), (10, 20), (20, 20), (30, 10), (10, 30)))
    else:
        a = dice.randint(0, 20)
        b = dice.randint(0, min(20 - a, 10) if dice.random() < 0.7 else 20 - a)
    return exchange(asked(dice, a, b, "+", "plus", ADDED), [f"{a} plus {b} is {a + b}."])


def subtraction(dice: random.Random) -> Exchange:
    a = dice.randint(1, 20)
    b = dice.randint(0, a)
    return exchange(asked(dice, a, b, "-", "minus", TAKEN), [f"{a} minus {b} is {a - b}."])


def multiplication(dice: random.Random) -> Exchange:
    a, b = dice.randint(0, 5), dice.randint(0, 5)
    if dice.random() < 0.3:
        a, b = dice.sample((dice.randint(1, 10), 10), 2)
    sign = dice.choice(("*", "x"))
    return exchange(asked(dice, a, b, sign, "times", MULTIPLIED), [f"{a} times {b} is {a * b}."])


def with_both(templates: list[str], a: int) -> list[str]:
    return [text.format(a=x) for text in templates for x in (a, number_word(a))]


def double(dice: random.Random) -> Exchange:
    a = dice.randint(1, 10)
    return exchange(with_both(DOUBLED, a), [f"Double {a} is {2 * a}."])


def half(dice: random.Random) -> Exchange:
    a = dice.randint(1, 10)
    return exchange(with_both(HALVED, 2 * a), [f"Half of {2 * a} is {a}."])


def checked(dice: random.Random) -> Exchange:
    """A sum with its result, right or wrong. The reply decides after it has computed."""
    a = dice.randint(1, 10)
    b = dice.randint(1, 10)
    result = a + b if dice.random() < 0.5 else a + b + dice.choice((-2, -1, 1, 2))
    told = "That is right." if result == a + b else f"So it is not {result}."
    ways = [
        f"Is {a} plus {b} equal to {result}?",
        f"Is {a} + {b} = {result}?",
        f"{a} + {b} = {result}, right?",
        f"Is it true that {a} plus {b} is {result}?",
        f"I think {a} plus {b} is {result}. Is that right?",
        f"{a} + {b} = {result}. True or false?",
        f"Does {a} plus {b} make {result}?",
        f"My result for {a} + {b} is {result}. Did I do it right?",
    ]
    return exchange(ways, [f"{a} plus {b} is {a + b}. {told}"])


def too_big(dice: random.Random) -> Exchange:
    sign, word = dice.choice((("+", "plus"), ("-", "minus"), ("*", "times"), ("x", "times"), ("/", "divided by")))
    lowest, highest = dice.choice(((21, 99), (101, 999), (1000, 99999)))
    a, b = dice.randint(lowest, highest), dice.randint(21, highest)
    if word == "times" and dice.random() < 0.3:
        a, b = dice.randint(6, 9), dice.randint(6, 9)
    elif a in (30, 40) and b in (30, 40):  # round tens are within reach
        b += 1
    if word in ("minus", "divided by"):
        a, b = max(a, b), min(a, b)
    signed = [text.format(a=a, b=b).strip() for text in SIGNED.replace("+", sign).split("|")]
    more = {"plus": ADDED, "minus": TAKEN, "times": MULTIPLIED}.get(word, [])
    asked = [frame.format(sum=f"{a} {word} {b}") for frame in FRAMES] + [text.format(a=a, b=b) for text in more]
    return exchange([*signed, *asked], TOO_BIG)
