"""Saying after the person: words, sentences, words turned around. It teaches copying, so it has many sentences."""

from __future__ import annotations

import random

from weights.recipe.rules.words import Exchange, capital, exchange, listed, one, words

QUALITIES = listed(
    "big|small|old|young|happy|sad|funny|quiet|clever|brave|friendly|hungry|tired|little|kind|strong|lazy|busy|shy|"
    "curious|gentle|proud|sleepy|tiny|white|black|brown|gray"
)
DOERS = listed(
    "cat|dog|bird|horse|rabbit|girl|boy|farmer|teacher|baker|king|queen|pirate|wizard|robot|dragon|mouse|fox|"
    "bear|owl|"
    "duck|frog|nurse|sailor|painter|child|giant|monkey|lion|elephant"
)
DOINGS = listed(
    "sleeps|sings a song|reads a book|eats an apple|looks at the moon|runs home|sits|dances|waits|laughs|"
    "jumps up and down|"
    "counts the stars|plays with a ball|drinks cold water|tells a story|looks for a key|bakes a cake|opens a window|"
    "sees a rainbow|finds a coin|writes a letter|carries a bag|hears music|builds a tower|catches a ball"
)
WHERE = listed(
    "|in the garden|under the tree|near the river|at home|on the hill|in the kitchen|by the sea|behind the house|"
    "at school|"
    "in the forest|in the rain|every day|in the morning|at night|after lunch|with a friend|all day long|"
    "in the old town"
)
OWN = listed(
    "I like {food}.|I have a {color} {thing}.|My friend {name} likes {food}.|{name} lives in {place}.|"
    "We want to go to {place}.|The {thing} is {color}.|My {thing} is {color}.|{name} and {other} are friends.|"
    "Good morning, {name}!|See you on {day}.|Happy birthday, {name}!|I was in {place} in {month}.|"
    "Please give me the {color} {thing}.|Where is the {color} {thing}?|Is {name} at home?|{day} is a good day.|"
    "I can see {number} {color} birds.|There are {number} cups on the table.|Thank you, {name}.|"
    "In {month} we go to {place}.|{name} has a {animal}.|I would like some {food}, please.|Have you seen my {thing}?"
)
ASKING = listed(
    "Repeat after me: {text}|Say: {text}|Please repeat this: {text}|Can you say this? {text}|Repeat: {text}|"
    "Copy this sentence: {text}|Say after me: {text}|Write this: {text}|Say this sentence: {text}|"
    'Say it back to me: {text}|Say "{text}"|Please say exactly this: {text}|Repeat what I say. {text}|'
    "Repeat this sentence: {text}|Echo: {text}"
)


def sentence(dice: random.Random) -> str:
    if dice.random() < 0.5:
        return dice.choice(OWN).format(
            food=dice.choice(words("foods")),
            color=dice.choice(("red", "blue", "green", "yellow", "white", "black", "brown", "new", "big", "small")),
            thing=dice.choice(words("things")),
            name=(two := dice.sample(words("names"), 2))[0],
            other=two[1],
            place=dice.choice(words("places")),
            day=dice.choice(words("days")),
            month=dice.choice(words("months")),
            number=dice.choice(("two", "three", "four", "five", "six", "seven", "ten")),
            animal=dice.choice(words("pet animals")),
        )
    who = dice.choice(DOERS)
    if dice.random() < 0.6:
        who = f"{dice.choice(QUALITIES)} {who}"
    start = f"the {who}" if dice.random() < 0.6 else one(who)
    return f"{capital(start)} {dice.choice(DOINGS)} {dice.choice(WHERE)}".strip() + "."


def repeating(dice: random.Random) -> Exchange:
    text = sentence(dice)
    return exchange([way.format(text=text) for way in ASKING], [text])


def saying(dice: random.Random) -> Exchange:
    word = dice.choice([*words("spelled"), *words("said"), *words("said")])
    asked = [
        f"Say {word}.",
        f"Please say {word}.",
        f"Can you say {word}?",
        f"Repeat: {word}",
        f"Say the word: {word}" if " " not in word else f"Say these words: {word}",
        f"Could you say {word} for me?",
        f"I want you to say {word}.",
        f"Just say {word}.",
        f"Say after me: {word}",
        f"Answer only with this: {word}",
    ]
    return exchange(asked, [f"{word}."])


def twice(dice: random.Random) -> Exchange:
    """The same word again and again."""
    word = dice.choice(words("spelled"))
    times, told = dice.choice(((2, "two times"), (2, "twice"), (3, "three times")))
    asked = [
        f"Say {word} {told}.",
        f"Can you say {word} {told}?",
        f"Repeat {word} {told}.",
        f"Please write {word} {told}.",
        f"Say the word {word} {told}, please.",
        f"I want to read {word} {told}.",
        f"{told}, please: {word}",
        f"Write the word {word} {told}.",
    ]
    return exchange(asked, [", ".join([word] * times) + "."])


def around(dice: random.Random) -> Exchange:
    """Two or three words in the reverse order."""
    chosen = dice.sample(words("spelled"), dice.choice((2, 2, 3)))
    row, spoken = " ".join(chosen), ", ".join(chosen)
    asked = [
        f"Say these words backwards: {row}",
        f"Reverse the order of these words: {row}",
        f"Turn the words around: {spoken}",
        f"Say {spoken} in the reverse order.",
        f"Put these words in the opposite order: {spoken}",
        f"Can you say the words {spoken} from last to first?",
        f"Begin with the last word: {spoken}",
        f"Words in reverse, please: {row}",
        f"Which order do I get if I reverse {spoken}?",
    ]
    return exchange(asked, [", ".join(reversed(chosen)) + "."])
