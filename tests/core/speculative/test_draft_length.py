"""How many tokens are guessed, with times and counts made up so that the best number can be worked out by hand."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise

import pytest

from core.speculative.draft_length import DraftLength

SEVEN = dict.fromkeys(range(1, 9), 10.0)  # a step takes 10 s, however many tokens it reads


def paced(steps: Mapping[int, float], write: float) -> DraftLength:
    """One that knows the seconds of all steps, and of a token of the draft."""
    pace = DraftLength(7)
    for n_tokens, seconds in steps.items():
        for _ in range(3):
            pace.record_time(seconds, n_tokens)
    for _ in range(3):
        pace.record_draft_time(write)
    pace.record_time(steps[1], 1)
    return pace


def judged(pace: DraftLength, chance: float, times: int = 400) -> DraftLength:
    """After many guesses of one token, right with this chance."""
    dice = random.Random(0)
    for _ in range(times):
        pace.record_confidence(1, 1)
        pace.record_acceptance(int(dice.random() < chance), 1)
    return pace


def test_before_anything_was_measured_nothing_is_guessed() -> None:
    pace = DraftLength(7)
    assert pace.size() == 0
    pace.record_time(10, 1)
    pace.record_time(10, 1)
    assert pace.size() == 0, "two measurements may both be wrong"
    pace.record_time(10, 1)
    assert pace.size() == 1, "to measure the draft"


def test_the_gain_is_tokens_a_step_by_what_they_cost() -> None:
    pace = judged(paced({1: 10.0, 2: 11.0, 3: 14.0}, write=2.0), 1.0)
    assert pace.gain(1) == pytest.approx(2 * 10 / (2 + 11), rel=1e-2)
    assert pace.gain(2) == pytest.approx(3 * 10 / (4 + 14), rel=1e-2)
    assert pace.gain(3) == pytest.approx(4 * 10 / (6 + 14 + 2), rel=1e-2), "14 - 10 for two tokens: 2 for one more"
    half = judged(paced(SEVEN, write=2.0), 0.5)
    a = half._right / half._judged
    assert half.gain(2) == pytest.approx((1 + a + a * a) * 10 / (4 + 10))


@pytest.mark.parametrize(("chance", "write", "best"), [(1.0, 0.1, 7), (1.0, 9.0, 7), (0.7, 0.01, 7), (0.5, 3.0, 1)])
def test_as_many_as_gain_most(chance: float, write: float, best: int) -> None:
    """At 0.5 and 3 s: one gives 1.5 tokens for 13 s, two 1.75 for 16 s. At 1.0 and 9 s: 2 for 19 s, 8 for 73 s."""
    assert judged(paced(SEVEN, write), chance).size() == best


def test_a_dear_step_makes_guesses_shorter() -> None:
    dear = {n: 10.0 if n < 4 else 40.0 for n in range(1, 9)}
    assert judged(paced(dear, write=0.1), 1.0).size() == 2


def test_where_the_draft_is_rarely_sure_less_is_gained() -> None:
    sure, unsure = (paced(SEVEN, write=4.0) for _ in range(2))
    for _ in range(100):
        sure.record_confidence(3, 3)
        sure.record_acceptance(3, 3)
        unsure.record_confidence(3, 2)
        unsure.record_acceptance(2, 2)
    assert unsure.gain(3) < sure.gain(3)
    for _ in range(100):
        unsure.record_confidence(1, 0)
    assert unsure.size() == 0


def test_a_bad_draft_rests_longer_and_longer_and_is_tried_again() -> None:
    pace = paced(SEVEN, write=4.0)
    guessed_at = []
    for step in range(4000):
        size = pace.size()
        if size:
            guessed_at.append(step)
            pace.record_draft_time(4.0)
            pace.record_confidence(size, size)
            pace.record_acceptance(0, size)
        pace.record_time(10.0, 1 + size)
    rests = [b - a for a, b in pairwise(guessed_at) if b - a > 3]
    assert len(rests) > 3
    assert rests[0] < rests[1] < rests[2]
    assert 4.0 * len(guessed_at) < 0.03 * 10.0 * 4000, "what it costs is a small part of all"


def test_a_draft_that_has_become_good_is_used_again() -> None:
    pace = judged(paced(SEVEN, write=4.0), 0.0)
    sizes = []
    for _ in range(400):
        size = pace.size()
        if size:
            pace.record_draft_time(4.0)
            pace.record_confidence(size, size)
            pace.record_acceptance(size, size)
        pace.record_time(10.0, 1 + size)
        sizes.append(size)
    assert sizes[0] == 0
    assert min(sizes[-20:]) >= 5


def test_a_step_without_a_guess_is_measured_now_and_then() -> None:
    pace = judged(paced(SEVEN, write=0.1), 1.0)
    sizes = []
    for _ in range(200):
        sizes.append(pace.size())
        pace.record_time(10.0, 1 + sizes[-1])
    assert sizes.count(0) == 3


def test_what_the_draft_reads_is_paid_from_a_part_of_the_models_time() -> None:
    pace = DraftLength(7)
    assert pace.may_read(100), "nobody knows what it costs"
    pace.record_catch_up(seconds=1.0, n_tokens=10)
    assert not pace.may_read(1)
    pace.record_time(8.0, 0)  # a prompt: a quarter of it is 2 s, and 1 s was spent
    assert pace.may_read(10)
    assert not pace.may_read(11)


def test_one_slow_step_changes_nothing() -> None:
    pace = judged(paced(SEVEN, write=1.0), 1.0)
    before = pace.gain(3)
    pace.record_time(500.0, 1)
    pace.record_time(500.0, 4)
    pace.record_draft_time(500.0)
    assert pace.gain(3) == before
