"""How the chat model is judged: the faults of a reply, and the 3-gram model it is measured against."""

from __future__ import annotations

import numpy as np
import pytest

from core.records import Finished, Shown
from weights.recipe.evaluation.judging import faults
from weights.recipe.evaluation.ngrams import DISCOUNT, NGrams


def said(text: str, reason: str = "end") -> Finished:
    return Finished(
        reason=reason,  # type: ignore[arg-type]
        text=text,
        shown=Shown(answer=text),
        ids=(1,),
        prompt_tokens=1,
        completion_tokens=1,
        prefill_seconds=0.1,
        seconds=0.2,
        first_token_seconds=0.1,
        seed=1,
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("Yes. Yes. Yes.", "repeats a sentence"),
        ("Hello [name]!", "mark or blank"),
        ("Hello<|im_end|>", "mark or blank"),
        ("I am ChatGPT.", "false name"),
        ("I was made by OpenAI.", "false name"),
        (" ", "empty"),
    ],
)
def test_a_fault_is_named(text: str, fault: str) -> None:
    assert fault in faults(said(text))


@pytest.mark.parametrize(
    "text",
    [
        "Yes. Yes. No.",
        "GPT is short for a long name.",
        "No, I am not ChatGPT.",
        "I like you. I like cats. I like dogs.",
    ],
)
def test_a_good_reply_has_none(text: str) -> None:
    assert faults(said(text)) == []


def test_a_reply_cut_off_does_not_end() -> None:
    assert faults(said("I am", reason="length")) == ["does not end"]


def test_three_grams_by_hand() -> None:
    """Text 1 2 1 2 1 3 over a vocabulary of 5; every number is counted from it."""
    model = NGrams([np.array([1, 2, 1, 2, 1, 3])], vocab_size=5)
    one = lambda count: (count - DISCOUNT) / 6 + DISCOUNT * 3 / 6 / 5  # noqa: E731
    p_two = one(2)
    after_one = (2 - DISCOUNT) / 3 + DISCOUNT * 2 / 3 * p_two  # "1 2" twice, "1 3" once
    after_two_one = (1 - DISCOUNT) / 2 + DISCOUNT * 2 / 2 * after_one  # "2 1 2" once, "2 1 3" once
    found = model.probabilities(np.array([2, 1, 2]))
    assert found == pytest.approx([p_two, (2 - DISCOUNT) / 2 + DISCOUNT / 2 * one(3), after_two_one])
    assert model.probabilities(np.array([4]))[0] == pytest.approx(DISCOUNT * 3 / 6 / 5)


def test_probabilities_after_any_context_add_up_to_one() -> None:
    dice = np.random.default_rng(2)
    model = NGrams([dice.integers(0, 20, size=400) for _ in range(3)], vocab_size=20)
    for context in dice.integers(0, 20, size=(50, 2)):
        chances = [model.probabilities(np.array([*context, token]))[-1] for token in range(20)]
        assert sum(chances) == pytest.approx(1.0)


def test_counting_beats_chance_on_text_that_repeats() -> None:
    text = np.tile(np.arange(10), 50)
    model = NGrams([text], vocab_size=1000)
    assert np.log(model.probabilities(text)[2:]).mean() > np.log(0.9)
