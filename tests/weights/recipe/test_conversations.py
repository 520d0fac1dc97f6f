"""Our own conversations: that what was written by hand is clean, and that composing spoils nothing."""

from __future__ import annotations

import random
import re

import pytest

from core.transformer import Transformer
from weights.recipe.corpus import conversations
from weights.recipe.corpus.cleaning import PLACEHOLDER
from weights.recipe.corpus.sources import Document
from weights.recipe.corpus.typing_habits import as_typed
from weights.recipe.evaluation import prompts
from weights.recipe.evaluation.judging import takes_a_false_name
from weights.recipe.models import CHAT, UNITS, filled_in
from weights.recipe.prepare import gives_away

WRITTEN = conversations.all_written()
OWN = conversations.documents(count=600)


@pytest.mark.parametrize("name", list(WRITTEN))
def test_what_was_written_is_clean_and_goes_to_and_fro(name: str) -> None:
    for exchange in WRITTEN[name]:
        roles = [role for role, _ in exchange.turns]
        assert roles == ["user", "assistant"] * (len(roles) // 2), exchange
        for role, wordings in exchange.turns:
            for text in (*wordings, *(exchange.frames if role == "user" else ())):
                assert text, exchange
                assert text == text.strip(), text
                assert text.isascii(), text
                assert "{" not in text, text
                assert "|" not in text, text
                if role == "assistant":
                    assert text[0].isupper() or text[0].isdigit() or text[0] in "\"'", text
                    assert text[-1] in ".!?\"'", text
                    assert not PLACEHOLDER.search(text), text
                    assert not takes_a_false_name(text), text


def test_enough_was_written() -> None:
    assert sum(map(len, WRITTEN.values())) >= 1500
    openings = {text for found in WRITTEN.values() for exchange in found for text in exchange.turns[0][1]}
    assert len(openings) >= 10_000


def test_a_hand_written_reply_is_always_used_whole() -> None:
    written = {
        text
        for found in WRITTEN.values()
        for exchange in found
        for role, wordings in exchange.turns
        for text in wordings
        if role == "assistant"
    }
    dice = random.Random(1)
    for found in WRITTEN.values():
        for exchange in found[:20]:
            assert all(text in written for role, text in exchange.spoken(dice) if role == "assistant")


def test_turns_alternate_and_the_model_has_the_last_word() -> None:
    for document in OWN:
        roles = [role for role, _ in document.turns if role != "system"]
        assert roles == ["user", "assistant"] * (len(roles) // 2), document
        assert [role for role, _ in document.turns].index("user") <= 1


def test_composing_is_the_same_for_the_same_seed() -> None:
    assert conversations.documents(count=30) == OWN[:30]
    assert conversations.documents(count=30, seed=8) != OWN[:30]


def test_the_frames_are_grammatical_for_one_and_for_many() -> None:
    one, many = conversations.framed("a token", "is"), conversations.framed("logits", "are")
    assert {"What is a token?", "Can you tell me what a token is?", "Token?"} <= set(one)
    assert {"What are logits?", "I don't know what logits are.", "Logits?"} <= set(many)


def test_the_prompts_stay_out_of_the_training_data() -> None:
    asked = Document(source="own", turns=(("user", "what is 6 PLUS 3"), ("assistant", "6 plus 3 is 9.")))
    assert gives_away(asked)
    assert not gives_away(Document(source="own", turns=(("user", "What is 6 plus 2?"), ("assistant", "8."))))


def test_the_sizes_told_are_the_models() -> None:
    model = Transformer(CHAT)
    millions = round(sum(weight.numel() for weight in model.parameters()) / 1e6)
    assert filled_in("{parameters}") == f"{UNITS[millions]} million"
    assert filled_in("{layers} {context}") == f"{UNITS[CHAT.n_layers]} {CHAT.context_length}"


def test_typing_keeps_the_words_unless_slips_are_allowed() -> None:
    dice = random.Random(3)
    text = "My name is Oliver, and I live in Rome."
    found = {as_typed(text, dice, typos=False) for _ in range(300)}
    assert {re.sub(r"\W", "", each).lower() for each in found} == {"mynameisoliverandiliveinrome"}
    slips = {as_typed(text, dice, typos=True) for _ in range(300)}
    assert len(slips) > len(found)


def test_two_hundred_prompts_in_ten_groups() -> None:
    groups = [prompt.group for prompt in prompts.prompts()]
    assert len(groups) == 200
    assert {groups.count(group) for group in groups} == {20}
    assert len({prompt.turns for prompt in prompts.prompts()}) == 200
    for prompt in prompts.prompts():
        assert (len(prompt.turns) == 3) == (prompt.group == "memory"), prompt


def test_a_right_answer_is_told_from_a_wrong_one() -> None:
    rule = prompts.Prompt(group="x", turns=("?",), right=(("ice",), ("frozen", "water")), wrong=("cream",))
    assert rule.accepts("We call it Ice.")
    assert rule.accepts("Water that is frozen.")
    assert not rule.accepts("A nice thing.")
    assert not rule.accepts("Frozen food.")
    assert not rule.accepts("Ice cream.")
