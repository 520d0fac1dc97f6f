"""Days, months and seasons: what comes before and after what."""

from __future__ import annotations

import random

from weights.recipe.rules.words import Exchange, exchange, listed, words

PLACES = listed("first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|eleventh|twelfth")
AFTER = listed(
    "What {what} comes after {this}?|Which {what} comes after {this}?|What comes after {this}?|"
    "What is the {what} after {this}?|Which {what} follows {this}?|What is the next {what} after {this}?|"
    "Tell me the {what} after {this}.|{this} is over. Which {what} comes next?|After {this} comes which {what}?|"
    "Do you know which {what} comes after {this}?"
)
BEFORE = listed(
    "What {what} comes before {this}?|Which {what} comes before {this}?|What comes before {this}?|"
    "What is the {what} before {this}?|Which {what} is right before {this}?|Tell me the {what} before {this}.|"
    "It is {this}. Which {what} was just over?|Before {this} comes which {what}?|"
    "Do you know which {what} comes before {this}?"
)
DOUBTED = listed(
    "Does {guess} come right after {this}?|Is {guess} the {what} after {this}?|"
    "Is {guess} the next {what} after {this}?|"
    "Is it true that {guess} follows {this}?|{guess} comes right after {this}, right?|After {this}, is it {guess}?"
)
# Seen from a day called today: how far away, and what people say for it.
AWAY = {1: "tomorrow", 2: "the day after tomorrow", -1: "yesterday", -2: "the day before yesterday"}


def row(dice: random.Random) -> tuple[list[str], str]:
    name = dice.choice(("days", "days", "months", "months", "seasons"))
    return words(name), name.removesuffix("s")


def neighbor(dice: random.Random) -> Exchange:
    found, what = row(dice)
    place = dice.randrange(len(found))
    this, after, before = found[place], found[(place + 1) % len(found)], found[place - 1]
    chance = dice.random()
    if chance < 0.45:
        return exchange([way.format(what=what, this=this) for way in AFTER], [f"{after} comes after {this}."])
    if chance < 0.8:
        return exchange([way.format(what=what, this=this) for way in BEFORE], [f"{before} comes before {this}."])
    guess = after if dice.random() < 0.5 else dice.choice([other for other in found if other not in (this, after)])
    told = f"{'Yes' if guess == after else 'No'}, {after} comes after {this}."
    return exchange([way.format(what=what, this=this, guess=guess) for way in DOUBTED], [told])


def from_today(dice: random.Random) -> Exchange:
    days = words("days")
    place = dice.randrange(7)
    far = dice.choice(list(AWAY))
    today, day, when = days[place], days[(place + far) % 7], AWAY[far]
    verb = "is" if far > 0 else "was"
    asked = [
        f"If today is {today}, what day {verb} {when}?",
        f"Today is {today}. What day {verb} {when}?",
        f"Today is {today}. Which day {verb} it {when}?",
        f"What day {verb} {when} if today is {today}?",
        f"What day {verb} it {when}, if it is {today} today?",
        f"It is {today} today. What {verb} {when}?",
        f"Suppose that today is {today}. Which day {verb} {when}?",
        f"{when} {verb} which day, if today is {today}?",
    ]
    return exchange(asked, [f"If today is {today}, {when} {verb} {day}."])


def numbered(dice: random.Random) -> Exchange:
    number = dice.randrange(12)
    month, place = words("months")[number], PLACES[number]
    asked = [
        f"What is the {place} month of the year?",
        f"Which month is the {place} one?",
        f"Name the {place} month of the year.",
        f"What month is number {number + 1}?",
        f"Which is the {place} month?",
        f"Tell me the {place} month.",
        f"Which number does {month} have among the months?",
        f"{month} is which month of the year?",
        f"Do you know the {place} month of the year?",
    ]
    return exchange(asked, [f"{month} is the {place} month of the year."])
