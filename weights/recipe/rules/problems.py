"""Sums told as tiny stories. The reply does the sum first and then says what it means."""

from __future__ import annotations

import random

from weights.recipe.rules.words import Exchange, exchange, one, words

# The verb of the person and of somebody with a name.
GAINS = (("get", "gets"), ("buy", "buys"), ("find", "finds"), ("am given", "is given"), ("pick up", "picks up"))
LOSSES = (("lose", "loses"), ("give away", "gives away"), ("sell", "sells"), ("drop", "drops"))
# What moves about, where it is, how it comes, goes and is there.
GROUPS = (
    ("bird", "in the tree", "come", "fly away"),
    ("duck", "on the lake", "come", "swim away"),
    ("child", "in the room", "come in", "go home"),
    ("cow", "in the field", "come", "walk away"),
    ("frog", "on the stone", "come", "jump away"),
    ("rabbit", "in the garden", "come", "hop away"),
    ("car", "on the street", "come", "drive away"),
    ("bee", "on the flower", "come", "fly away"),
)
PLURALS = {"child": "children", "cherry": "cherries", "box": "boxes", "sandwich": "sandwiches"}


def plural(thing: str) -> str:
    return PLURALS.get(thing, f"{thing}s")


def counted(number: int, thing: str) -> str:
    return f"{number} {thing if number == 1 else plural(thing)}"


def none_or(number: int, thing: str) -> str:
    return counted(number, thing) if number else f"no {plural(thing)}"


def person(dice: random.Random) -> tuple[str, str, str, str, int]:
    """Who has, whether they do have, and who has in the reply; which form of a verb fits."""
    if dice.random() < 0.5:
        return "I have", "do I have", "you have", "I", 0
    name = dice.choice(words("names"))
    return f"{name} has", f"does {name} have", f"{name} has", name, 1


def gaining(dice: random.Random) -> Exchange:
    has, have, reply, who, form = person(dice)
    a = dice.randint(1, 12)
    b = dice.randint(1, min(8, 20 - a))
    thing, verb = dice.choice(words("things")), dice.choice(GAINS)[form]
    more = plural(thing)
    asked = [
        f"{has} {counted(a, thing)} and {who} {verb} {b} more. How many {more} {have} now?",
        f"{has} {counted(a, thing)}. Then {who} {verb} {b} more. How many {more} {have}?",
        f"If {has} {counted(a, thing)} and {who} {verb} {b} more, how many {more} {have}?",
        f"How many {more} {have} if {has} {counted(a, thing)} and then {who} {verb} {b} more?",
        f"{has} {counted(a, thing)}. {who} {verb} {b} more. How many {have} in all?",
        f"First {has} {counted(a, thing)}, and later {who} {verb} {b} more. How many {more} {have} then?",
    ]
    return exchange(asked, [f"{a} plus {b} is {a + b}, so {reply} {counted(a + b, thing)}."])


def losing(dice: random.Random) -> Exchange:
    has, have, reply, who, form = person(dice)
    a = dice.randint(2, 15)
    b = dice.randint(1, a)
    if dice.random() < 0.4:
        thing, verb = dice.choice(words("eaten")), ("eat", "eats")[form]
    else:
        thing, verb = dice.choice(words("things")), dice.choice(LOSSES)[form]
    more = plural(thing)
    asked = [
        f"{has} {counted(a, thing)} and {who} {verb} {b}. How many {more} {have} now?",
        f"{has} {counted(a, thing)}. Then {who} {verb} {b} of them. How many {more} {have} left?",
        f"If {has} {counted(a, thing)} and {who} {verb} {b}, how many {more} {have}?",
        f"{has} {counted(a, thing)}, but then {who} {verb} {b}. How many are left?",
        f"How many {more} {have} if {has} {counted(a, thing)} and then {who} {verb} {b}?",
        f"{has} {counted(a, thing)}. {who} {verb} {b}. What is left?",
    ]
    return exchange(asked, [f"{a} minus {b} is {a - b}, so {reply} {none_or(a - b, thing)} left."])


def sentence(number: int, thing: str, place: str) -> str:
    return f"there {'is' if number == 1 else 'are'} {none_or(number, thing)} {place}"


def third(verb: str, number: int) -> str:
    """The form for one or for many."""
    first, *rest = verb.split()
    if number == 1:
        first = {"fly": "flies", "go": "goes"}.get(first, f"{first}s")
    return " ".join([first, *rest])


def coming(dice: random.Random) -> Exchange:
    thing, place, come, _ = dice.choice(GROUPS)
    a, b = dice.randint(1, 10), dice.randint(1, 9)
    start, more = sentence(a, thing, place), f"{b} more {third(come, b)}"
    asked = [
        f"{start} and {more}. How many {plural(thing)} are there now?",
        f"{start}. Then {more}. How many {plural(thing)} are {place} now?",
        f"If {start} and {more}, how many {plural(thing)} are there?",
        f"{start}, then {more}. How many are there in all?",
        f"How many {plural(thing)} are there if {start} and {more}?",
        f"First {start}. Later {more}. How many {plural(thing)} can I see now?",
    ]
    return exchange(asked, [f"{a} plus {b} is {a + b}, so {sentence(a + b, thing, place)}."])


def going(dice: random.Random) -> Exchange:
    thing, place, _, go = dice.choice(GROUPS)
    a = dice.randint(2, 12)
    b = dice.randint(1, a)
    start, less = sentence(a, thing, place), f"{b} of them {third(go, b)}"
    asked = [
        f"{start} and {less}. How many {plural(thing)} are left?",
        f"{start}. Then {less}. How many {plural(thing)} are {place} now?",
        f"If {start} and {less}, how many {plural(thing)} are left?",
        f"{start}, but {less}. How many stay?",
        f"How many {plural(thing)} are left if {start} and {less}?",
        f"First {start}. Later {less}. How many {plural(thing)} can I still see?",
    ]
    return exchange(asked, [f"{a} minus {b} is {a - b}, so {sentence(a - b, thing, place)}."])


def grouping(dice: random.Random) -> Exchange:
    a, b = dice.randint(2, 5), dice.randint(2, 5)
    thing, space = dice.choice(words("things")), dice.choice(words("spaces"))
    asked = [
        f"There are {counted(a, space)} with {counted(b, thing)} in each. How many {plural(thing)} are there?",
        f"I have {counted(a, space)}. In each {space} there are {counted(b, thing)}. How many {plural(thing)} is that?",
        f"If there are {counted(b, thing)} in {one(space)}, how many {plural(thing)} are in {counted(a, space)}?",
        f"{counted(a, space)}, each with {counted(b, thing)}. How many {plural(thing)} in all?",
        f"How many {plural(thing)} are in {counted(a, space)} if every {space} has {counted(b, thing)}?",
        f"We see {counted(a, space)}. Every {space} has {counted(b, thing)}. How many {plural(thing)} are there?",
    ]
    return exchange(asked, [f"{a} times {b} is {a * b}, so there are {counted(a * b, thing)}."])


def problem(dice: random.Random) -> Exchange:
    made: Exchange = dice.choice((gaining, gaining, losing, losing, coming, going, grouping))(dice)
    return made
