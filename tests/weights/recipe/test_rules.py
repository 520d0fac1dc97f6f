"""The exchanges that follow a rule, checked against the rule: sums, spelling, tables, and what the person told."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest

from weights.recipe.rules import echo, exchanges, letters, memory, numbers, problems, rows, sums
from weights.recipe.rules.memory import Fact
from weights.recipe.rules.words import Exchange, capital, doubted, groups, listed, one, slots, words

MANY = 400
NUMBERS = {sums.number_word(number): number for number in range(101) if number < 21 or number % 10 == 0}
DOUBTED = [name for name, group in groups().items() if group.wordings["?"] and group.wordings["<"] and group.entries]
FACTS = memory.kinds()


def made(
    rule: Callable[[random.Random], Exchange], seed: int = 1, count: int = MANY
) -> Iterator[tuple[list[str], list[str]]]:
    dice = random.Random(seed)
    for _ in range(count):
        (_, asked), (_, answered) = rule(dice)
        yield asked, answered


def every_exchange(count: int = 3000) -> Iterator[Exchange]:
    dice = random.Random(3)
    for _ in range(count):
        yield exchanges.by_rule(dice)
        telling, asking = memory.told(dice)
        assert telling
        assert asking
        yield from telling
        yield from asking


def computed(text: str) -> tuple[int, int, int, int]:
    """The two numbers of the sum at the start of a text, the result it gives, and the right one."""
    found = re.match(r"(\d+) (plus|minus|times) (\d+) is (\d+)\b", text)
    assert found, text
    a, word, b, result = found.groups()
    right = {"plus": int(a) + int(b), "minus": int(a) - int(b), "times": int(a) * int(b)}[word]
    return int(a), int(b), int(result), right


def numbers_of(text: str) -> list[int]:
    """Written with digits or as words, in the order they come in."""
    return [
        NUMBERS[part] if part in NUMBERS else int(part)
        for part in re.findall(r"\d+|[a-z]+", text.lower())
        if part in NUMBERS or part.isdigit()
    ]


def test_every_exchange_is_whole_and_goes_to_and_fro() -> None:
    for exchange in every_exchange():
        roles = [role for role, _ in exchange]
        assert roles == ["user", "assistant"] * (len(roles) // 2)
        for role, wordings in exchange:
            assert wordings
            for text in wordings:
                assert text == text.strip(), text
                assert text.isascii(), text
                assert not re.search(r"[{}|]|  |\.\.|\?\?", text), text
                assert not re.search(r"(^|[.!?] )[a-z]", text), text
                if role == "assistant":
                    assert text[-1] in ".!?", text
                    assert len(text.split()) <= 40, text


def test_articles_fit() -> None:
    hours = ("hour", "honest")
    for exchange in every_exchange():
        for _, wordings in exchange:
            for text in wordings:
                for article, word in re.findall(r"\b([Aa]n?) ([a-z]+)", text):
                    if word in ("in", "is", "and", "or", "of", "at"):  # the letter
                        continue
                    vowel = (word[0] in "aeiou" and not word.startswith(("uni", "use", "one"))) or word in hours
                    assert (article.lower() == "an") == vowel, text


def test_the_dice_decide_everything() -> None:
    def some() -> list[object]:
        dice = random.Random(9)
        return [(exchanges.by_rule(dice), memory.told(dice)) for _ in range(300)]

    assert some() == some()


@pytest.mark.parametrize("rule", [sums.addition, sums.subtraction, sums.multiplication])
def test_sums_are_right_and_are_the_ones_asked_for(rule: Callable[[random.Random], Exchange]) -> None:
    for asked, (answer,) in made(rule):
        a, b, result, right = computed(answer)
        assert result == right
        assert 0 <= result <= 100
        assert len(set(asked)) >= 12
        for text in asked:
            assert sorted(numbers_of(text)) == sorted((a, b)), text


def test_double_and_half() -> None:
    for asked, (answer,) in made(sums.double):
        number, result = numbers_of(answer)
        assert result == 2 * number
        assert all(numbers_of(text)[:1] == [number] for text in asked)
    for asked, (answer,) in made(sums.half):
        number, result = numbers_of(answer)
        assert number == 2 * result
        assert all(number in numbers_of(text) for text in asked)


def test_a_checked_sum_is_called_right_when_it_is() -> None:
    for asked, (answer,) in made(sums.checked):
        a, b, result, right = computed(answer)
        assert result == right
        guess = {numbers_of(text)[-1] for text in asked[:6]}.pop()
        assert ("That is right." in answer) == (guess == result), (asked, answer, a, b)


def test_number_words() -> None:
    assert [sums.number_word(number) for number in (0, 7, 13, 20, 21, 40, 99)] == listed(
        "zero|seven|thirteen|twenty|twenty-one|forty|ninety-nine"
    )


def test_sums_beyond_reach_are_not_answered() -> None:
    for asked, answers in made(sums.too_big):
        assert all("calculator" in text for text in answers)
        for text in asked:
            found = numbers_of(text)
            assert len(found) == 2, text
            assert max(found) > 20 or min(found) > 5, text


def test_tiny_stories_add_up() -> None:
    for asked, (answer,) in made(problems.problem, count=1500):
        a, b, result, right = computed(answer)
        assert result == right
        assert 0 <= result <= 25
        for text in asked:
            assert {a, b} <= set(numbers_of(text)), text
        for text in (*asked, answer):
            assert not re.search(r"\b1 (?!more|of|is\b|in\b|plus|minus|times)[a-z]+s\b", text), text
            assert not re.search(r"\b([02-9]|1\d) (bird|duck|child|cow|egg|bag|room)\b", text), text
        ending = answer.split(", so ")[1]
        assert (re.search(r"\bno \w", ending) is not None) == (result == 0), answer
        assert str(result) in ending or result == 0


def test_numbers_in_order() -> None:
    for asked, (answer,) in made(numbers.neighbor):
        first, second = numbers_of(answer)
        assert first - second == (1 if "after" in answer else -1)
        assert all("thirty" in text or "twenty" in text or second in numbers_of(text) for text in asked)
    for asked, (answer,) in made(numbers.counting):
        found = numbers_of(answer)
        step = 1 if found[-1] > found[0] else -1
        assert found == list(range(found[0], found[-1] + step, step))
        assert found[-1] in numbers_of(asked[0])


def test_numbers_compared() -> None:
    for asked, (answer,) in made(numbers.larger):
        first, second = numbers_of(answer)
        assert (first > second) == ("bigger" in answer)
        if answer.startswith(("Yes", "No")):
            told = answer.startswith("Yes")
            a, b = numbers_of(asked[0].replace("-", "")) if "-" not in asked[0] else (None, None)
            assert a is None or (a > (b or 0)) == told
    for asked, (answer,) in made(numbers.even_or_odd):
        (number,) = numbers_of(answer)
        assert answer.endswith("even." if number % 2 == 0 else "odd.")
        if answer.startswith(("Yes", "No")):
            assert answer.startswith("Yes") == (answer.rstrip(".").split()[-1] in asked[0])


def test_spelling_joined_is_the_word() -> None:
    for asked, (answer,) in made(letters.spelling):
        word = answer.rstrip(".").replace("-", "").lower()
        assert word in words("spelled")
        assert all(
            word in text.lower().split() or f"{word}." in text.lower() or f"{word}?" in text.lower() for text in asked
        )
    for _, (answer,) in made(letters.reading):
        row, word = answer.rstrip(".").split(" spells ")
        assert row.replace("-", "").lower() == word
    for _, (answer,) in made(letters.how_many):
        row, count = answer.split(". That is ")
        assert row.count("-") + 1 == int(count.split()[0])


def test_first_and_last_letters() -> None:
    for _, (answer,) in made(letters.an_end):
        letter = answer[-2].lower()
        if answer.startswith("The first"):
            assert answer.split()[4].startswith(letter)
        else:
            assert answer.split(".")[0].lower().endswith(letter)
    for asked, (answer,) in made(letters.starting):
        word, letter = re.findall(r", (\w+) starts with (\w)", answer)[0]
        assert word[0] == letter.lower()
        guess = re.findall(r"with (\w)\?", asked[0])[0]
        assert answer.startswith("Yes") == (guess == letter)
    for asked, answers in made(letters.beginning):
        for answer in answers:
            assert answer.split()[2][0].upper() == answer[-2]
            assert f" {answer[-2]}" in asked[0]


def test_what_is_to_be_said_is_said() -> None:
    for asked, (answer,) in made(echo.repeating):
        assert all(answer in text for text in asked)
    for asked, (answer,) in made(echo.saying):
        assert all(answer[1:-1] in text for text in asked)
    for asked, (answer,) in made(echo.around):
        turned = ", ".join(reversed(answer.rstrip(".").lower().split(", ")))
        assert all(turned in text or turned.replace(",", "") in text for text in asked)
    for asked, (answer,) in made(letters.in_capitals):
        assert all(answer.rstrip(".") in text.upper() for text in asked)
    for asked, (answer,) in made(echo.twice):
        assert answer.count(",") + 1 == (3 if "three" in asked[0] else 2)


def test_sentences_to_repeat_are_many() -> None:
    dice = random.Random(4)
    assert len({echo.sentence(dice) for _ in range(2000)}) > 1500


def test_days_and_months() -> None:
    for _, (answer,) in made(rows.neighbor):
        found = re.findall(r"(\w+) comes (after|before) (\w+)", answer)[0]
        row = next(words(name) for name in ("days", "months", "seasons") if found[2] in words(name))
        row = [capital(item) for item in row]
        first, word, second = capital(found[0]), found[1], capital(found[2])
        assert (row.index(first) - row.index(second)) % len(row) == (1 if word == "after" else len(row) - 1)
    away = {"tomorrow": 1, "the day after tomorrow": 2, "yesterday": -1, "the day before yesterday": -2}
    for asked, (answer,) in made(rows.from_today):
        today, when, day = re.findall(r"If today is (\w+), (.+) (?:is|was) (\w+)\.", answer)[0]
        days = words("days")
        assert (days.index(day) - days.index(today)) % 7 == away[when] % 7
        assert all(today in text and when in text.lower() for text in asked)


@pytest.mark.parametrize("name", DOUBTED)
def test_yes_and_no_agree_with_the_table(name: str) -> None:
    group, dice = groups()[name], random.Random(5)
    for entry in group.entries:
        of = slots(entry)
        for _ in range(8):
            (_, asked), (_, answered) = doubted(dice, group, of)
            right = [text.format(**of | {"x": of["b"]}) for text in group.only("?")] == asked or [
                capital(text.format(**of | {"x": of["b"]})) for text in group.only("?")
            ] == asked
            assert all(text.startswith("Yes, " if right else "No, ") for text in answered)


@pytest.mark.parametrize("name", [name for name, group in groups().items() if group.wordings["<"] and group.entries])
def test_tables_are_asked_in_many_ways(name: str) -> None:
    group = groups()[name]
    assert all(len(slots(entry)) == len(slots(group.entries[0])) for entry in group.entries)
    for asked, answered in group.kinds():
        assert len(set(asked)) == len(asked) >= 6
        assert answered
    assert len(group.kinds()[0][0]) >= 8
    keys = [slots(entry)["a"] for entry in group.entries]
    assert name == "able" or len(keys) == len(set(keys)), [key for key in keys if keys.count(key) > 1]


def test_lists_have_no_entry_twice() -> None:
    for name, group in groups().items():
        assert len(group.entries) == len(set(group.entries)), name
        assert all(entry.isascii() and entry == entry.strip() for entry in group.entries), name


def test_lists_are_long_enough_to_copy_from() -> None:
    least = {
        "names": 300,
        "pets": 80,
        "places": 120,
        "foods": 60,
        "jobs": 50,
        "plans": 60,
        "hobbies": 40,
        "spelled": 400,
    }
    for name, count in least.items():
        assert len(words(name)) >= count, name
    assert set(words("boys")) | set(words("girls")) <= set(words("names"))
    assert not set(words("boys")) & set(words("girls"))
    assert all(3 <= len(word) <= 7 and word.isalpha() and word.islower() for word in words("spelled"))
    assert len(words("capital")) >= 60


def test_rhymes_do_not_cross() -> None:
    """A word of two rhymes would make a wrong no."""
    forward = groups()["rhyme"].entries[: len(groups()["rhyme"].entries)]
    families = {frozenset(entry.split(":")) for entry in forward}
    every = [word for family in families for word in family]
    assert len(every) == len(set(every))


@pytest.mark.parametrize("kind", FACTS)
def test_facts_are_told_and_asked_in_many_ways(kind: str) -> None:
    dice = random.Random(6)
    for _ in range(60):
        fact: Fact = memory.drawn(dice, kind)
        (_, told), (_, replies) = fact.telling()
        (_, asked), (_, answered) = fact.asking()
        assert len(set(told)) >= 8
        assert len(set(asked)) >= 8
        assert 2 <= len(replies) <= 4
        assert all(fact.value.lower() in text.lower() for text in told), told
        yours = fact.slots["y"] if kind == "plan" else fact.value
        assert all(yours.lower() in text.lower() for text in answered), answered
        for right in (True, False):
            (_, asked), (_, answered) = fact.guessing(right)
            assert all((fact.value if right else fact.guess).lower() in text.lower() for text in asked)
            assert all(text.startswith("Yes" if right else "No") for text in answered)
            assert all(yours.lower() in text.lower() for text in answered)
        assert "my" not in " ".join(answered).split()


def test_a_corrected_fact_is_the_newer_one() -> None:
    dice = random.Random(7)
    for _ in range(MANY):
        again = dice.getstate()
        (telling,), (asking,) = memory.corrected(dice)
        after = dice.getstate()
        dice.setstate(again)
        old = memory.one_fact(dice)
        while old.kind in memory.ADDED:
            old = memory.one_fact(dice)
        dice.setstate(after)
        (_, first), (_, _), (_, second), (_, known) = telling
        (_, _), (_, answered) = asking
        new = f" {old.guess} ".replace(" my ", " your ").strip().lower()
        assert all(old.value.lower() in text.lower() for text in first)
        assert all(old.guess.lower() in text.lower() for text in second)
        assert all(new in text.lower() for text in (*known, *answered))


def test_what_was_told_in_one_message_is_in_every_reply() -> None:
    dice = random.Random(8)
    for _ in range(MANY):
        first, second = memory.two_facts(dice)
        assert first.kind != second.kind
        assert first.value != second.value
        for fact in (first, second):
            for mark in ("&", "@"):
                yours = fact.value if mark == "&" else fact.value.replace("my ", "your ")
                assert all(yours in text for text in fact.wordings(mark))


def test_the_name_is_used_at_the_end() -> None:
    dice = random.Random(9)
    for _ in range(50):
        (told,), asking = memory.goodbye(dice)
        name = re.findall(r"Goodbye, (\w+)!", asking[-1][1][1][0])[0]
        assert all(name in text for text in told[0][1])
        assert all(name in text for text in asking[-1][1][1])


def test_one_gives_the_right_article() -> None:
    assert [one(thing) for thing in ("apple", "dog", "unicorn", "egg")] == ["an apple", "a dog", "a unicorn", "an egg"]
