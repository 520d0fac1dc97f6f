"""Spelling, letters of a word, capitals. A word is spelled before its letters are counted."""

from __future__ import annotations

import random

from weights.recipe.rules.words import Exchange, exchange, words


def spelled(word: str) -> str:
    return "-".join(word.upper())


def spelling(dice: random.Random) -> Exchange:
    word = dice.choice(words("spelled"))
    asked = [
        f"How do you spell {word}?",
        f"Spell {word}.",
        f"Can you spell {word}?",
        f"Spell the word {word}.",
        f"How is {word} spelled?",
        f"Please spell {word} for me.",
        f"What are the letters of {word}?",
        f"Which letters are in {word}?",
        f"Tell me how to spell {word}.",
        f"How do I write the word {word}?",
        f"Say {word} letter by letter.",
        f"I don't know how to spell {word}.",
        f"spelling of {word}",
    ]
    return exchange(asked, [f"{spelled(word)}."])


def reading(dice: random.Random) -> Exchange:
    word = dice.choice(words("spelled"))
    letters = spelled(word)
    asked = [
        f"What does {letters} spell?",
        f"Which word is {letters}?",
        f"What word do the letters {letters} make?",
        f"{letters} spells what?",
        f"Can you read {letters}?",
        f"Put these letters together: {letters}",
        f"What is {letters}?",
        f"Read this: {letters}",
    ]
    return exchange(asked, [f"{letters} spells {word}."])


def an_end(dice: random.Random) -> Exchange:
    """The first or the last letter."""
    word = dice.choice(words("spelled"))
    if dice.random() < 0.5:
        asked = [
            f"What is the first letter of {word}?",
            f"Which letter does {word} start with?",
            f"What does {word} begin with?",
            f"With which letter does {word} begin?",
            f"{word} starts with which letter?",
            f"Tell me the first letter of {word}.",
            f"Which letter comes first in {word}?",
            f"What letter is at the beginning of {word}?",
        ]
        return exchange(asked, [f"The first letter of {word} is {word[0].upper()}."])
    asked = [
        f"What is the last letter of {word}?",
        f"Which letter does {word} end with?",
        f"What does {word} end with?",
        f"With which letter does {word} end?",
        f"{word} ends with which letter?",
        f"Tell me the last letter of {word}.",
        f"Which letter comes last in {word}?",
        f"What letter is at the end of {word}?",
    ]
    return exchange(asked, [f"{spelled(word)}. The last letter is {word[-1].upper()}."])


def how_many(dice: random.Random) -> Exchange:
    word = dice.choice(words("spelled"))
    asked = [
        f"How many letters are in {word}?",
        f"How many letters does {word} have?",
        f"How many letters are there in the word {word}?",
        f"Count the letters of {word}.",
        f"How long is the word {word}?",
        f"Can you count the letters in {word}?",
        f"What is the number of letters in {word}?",
        f"Tell me how many letters {word} has.",
        f"{word}: how many letters?",
    ]
    return exchange(asked, [f"{spelled(word)}. That is {len(word)} letters."])


def starting(dice: random.Random) -> Exchange:
    """Whether a word begins with a letter."""
    word, other = dice.sample(words("spelled"), 2)
    guess = word[0] if dice.random() < 0.5 else other[0]
    letter, first = guess.upper(), word[0].upper()
    asked = [
        f"Does {word} start with {letter}?",
        f"Does {word} begin with {letter}?",
        f"Does the word {word} start with the letter {letter}?",
        f"Is {letter} the first letter of {word}?",
        f"{word} starts with {letter}, right?",
        f"Is it true that {word} begins with {letter}?",
        f"Is the first letter of {word} {letter}?",
        f"I think {word} starts with {letter}. Am I right?",
    ]
    told = f"Yes, {word} starts with {letter}." if letter == first else f"No, {word} starts with {first}."
    return exchange(asked, [told])


def beginning(dice: random.Random) -> Exchange:
    """A word for a letter."""
    letter = dice.choice(words("spelled"))[0]
    fitting = [word for word in words("spelled") if word[0] == letter]
    chosen = dice.sample(fitting, min(2, len(fitting)))
    big = letter.upper()
    asked = [
        f"Tell me a word that starts with {big}.",
        f"Which word starts with {big}?",
        f"Give me a word with {big} at the beginning.",
        f"Say a word that begins with {big}.",
        f"Do you know a word that starts with {big}?",
        f"I need a word that begins with the letter {big}.",
        f"What starts with {big}?",
        f"Name something that begins with {big}.",
    ]
    return exchange(asked, [f"The word {word} starts with {big}." for word in chosen])


def in_capitals(dice: random.Random) -> Exchange:
    text = dice.choice(words("spelled"))
    if dice.random() < 0.3:
        text = f"{text} {dice.choice(words('spelled'))}"
    asked = [
        f"Write {text} in capital letters.",
        f"Write {text} in uppercase.",
        f"Can you write {text} in big letters?",
        f"Put {text} in capitals.",
        f"{text} in capital letters, please.",
        f"Make {text} uppercase.",
        f"How does {text} look in capitals?",
        f"Please say {text} in capital letters.",
    ]
    return exchange(asked, [f"{text.upper()}."])
