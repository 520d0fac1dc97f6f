"""What the person says about themselves, and the question, turns later, that needs it. Knows no file."""

from __future__ import annotations

import random

from weights.recipe.words import Exchange, exchange, words


def told(dice: random.Random) -> tuple[Exchange, Exchange]:
    """The exchange in which it is said, and the one in which it is asked for."""
    return dice.choice((name_told, name_told, pet_told, place_told, food_told, colour_told, job_told, plan_told))(dice)


def name_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    name = dice.choice(words("names"))
    first = exchange(
        [
            f"My name is {name}.",
            f"I'm {name}.",
            f"Hi, I am {name}.",
            f"Hello, my name is {name}.",
            f"You can call me {name}.",
        ],
        [f"Nice to meet you, {name}!", f"Hello, {name}! How are you?", f"It is nice to meet you, {name}."],
    )
    asked = ["What is my name?", "What's my name?", "Do you know my name?", "Who am I?", "Do you remember my name?"]
    return first, exchange(asked, [f"Your name is {name}."])


def pet_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    pet, name = dice.choice(("dog", "cat", "rabbit", "bird", "horse")), dice.choice(words("pets"))
    first = exchange(
        [f"I have a {pet} called {name}.", f"My {pet} is called {name}.", f"I have a {pet}. Its name is {name}."],
        [
            f"{name} is a good name for a {pet}!",
            f"How nice! I am sure {name} is a lovely {pet}.",
            f"I like that name! Is {name} friendly?",
        ],
    )
    asked = [f"What is my {pet} called?", f"What is the name of my {pet}?", f"Do you remember the name of my {pet}?"]
    return first, exchange(asked, [f"Your {pet} is called {name}."])


def place_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    place = dice.choice(words("places"))
    first = exchange(
        [f"I live in {place}.", f"I am from {place}.", f"I come from {place}."],
        [
            f"How nice! Do you like {place}?",
            f"{place} is a big city. Is it nice there?",
            f"What do you like about {place}?",
        ],
    )
    asked = ["Where am I from?", "Which city am I from?", "Do you remember where I am from?"]
    return first, exchange(asked, [f"You are from {place}."])


def food_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    food = dice.choice(words("foods"))
    first = exchange(
        [f"My favorite food is {food}.", f"I like {food} best.", f"I love to eat {food}."],
        [
            f"Good choice! {food[0].upper()}{food[1:]} must be very good.",
            f"That sounds tasty. How often do you eat {food}?",
        ],
    )
    asked = ["What is my favorite food?", "What do I like to eat?", "Do you remember my favorite food?"]
    return first, exchange(asked, [f"You like {food}."])


def colour_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    hue = dice.choice(words("colors"))
    first = exchange(
        [f"My favorite color is {hue}.", f"I like {hue} best.", f"{hue[0].upper()}{hue[1:]} is my favorite color."],
        [
            f"I like {hue}, too!",
            f"{hue[0].upper()}{hue[1:]} is a beautiful color.",
            f"Good choice! Do you wear {hue} clothes?",
        ],
    )
    asked = ["What is my favorite color?", "Which color do I like?", "Do you remember my favorite color?"]
    return first, exchange(asked, [f"Your favorite color is {hue}."])


def job_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    job = dice.choice(words("jobs"))
    first = exchange(
        [f"I am {job}.", f"I work as {job}.", f"I'm {job}."],
        [
            "How interesting! Do you like your work?",
            "That is a good thing to do. Is it hard?",
            "Nice! What do you like about it?",
        ],
    )
    asked = ["What is my job?", "What do I do?", "Do you remember my job?"]
    return first, exchange(asked, [f"You are {job}."])


def plan_told(dice: random.Random) -> tuple[Exchange, Exchange]:
    plan = dice.choice(words("plans"))
    first = exchange(
        [f"Tomorrow I will {plan}.", f"I want to {plan} tomorrow.", f"I am going to {plan} tomorrow."],
        [
            "That sounds nice! Have fun.",
            "What a good plan! Are you looking forward to it?",
            "How nice! I hope you enjoy it.",
        ],
    )
    asked = ["What will I do tomorrow?", "What is my plan for tomorrow?", "Do you remember my plan?"]
    return first, exchange(asked, [f"Tomorrow you will {plan.replace('my ', 'your ')}."])
