"""The whole road: a conversation in, recorded steps out, by a model of random weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from scipy import special
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from core.backends.eager import MAX_PREFILL_TOKENS as CHUNK
from core.backends.native import NativeBackend
from core.conversation import Conversation, Message
from core.engine import Engine
from core.errors import BadCheckpoint, BadTemplate, ContextFull, EmptyPrompt
from core.model import Model
from core.native.bindings import library
from core.records import Finished, Prefill, Shown, Token, TokenRecord
from core.sampling.dice import dice
from core.sampling.distribution import Distribution
from core.settings import Settings
from core.text.placement import SYSTEM_MOVED
from core.text.prompt import prompt_ids
from core.text.tokenizer import Tokenizer
from tests.core.support.replies import HELLO, PLAIN, Answer, answer
from tests.support.tiny import CHATML, START, tiny_model


def grown(conversation: Conversation, said: Answer, question: str = "What is the weather like?") -> Conversation:
    reply = Message(role="assistant", text=said.finished.text, ids=said.finished.ids)
    return (*conversation, reply, Message(role="user", text=question))


@contextmanager
def counting(model: Model) -> Iterator[list[int]]:
    """How many tokens go through the transformer, pass by pass, in torch or in C."""
    passes: list[int] = []
    hook = model.transformer.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[1]))
    in_c = NativeBackend._prepared

    def counted(record: NativeBackend, ids: Sequence[int], *rest: Any) -> Any:
        passes.append(len(ids))
        return in_c(record, ids, *rest)

    with patch.object(NativeBackend, "_prepared", counted):
        yield passes
    hook.remove()


@torch.inference_mode()
def logits_after(model: Model, ids: list[int]) -> Any:
    """What one pass over everything, without a cache, expects next: (vocab,) in float64."""
    return model.transformer.unembed(model.transformer(torch.tensor([ids])))[0, -1].double().numpy()


def assert_alike(one: Answer, other: Answer) -> None:
    """The same tokens, from the same distributions but for rounding."""
    assert one.ids == other.ids
    assert [record.text for record in one.steps] == [record.text for record in other.steps]
    for a, b in zip(one.steps, other.steps, strict=True):
        assert math.isclose(a.logprob, b.logprob, abs_tol=1e-3)
        assert math.isclose(a.prediction.entropy_bits, b.prediction.entropy_bits, abs_tol=1e-3)


# --- what is told ---------------------------------------------------------------------------------------------------


def test_the_prompt_is_read_then_tokens_are_chosen(model: Model) -> None:
    said = answer(Engine(model))
    prompt = prompt_ids(HELLO, model.template, model.tokenizer)
    assert [(p.done, p.total, p.reused, p.dropped) for p in said.prefills] == [
        (0, len(prompt), 0, 0),
        (len(prompt), len(prompt), 0, 0),
    ]
    assert [record.position for record in said.steps] == list(range(len(prompt), len(prompt) + 24))
    assert (said.finished.prompt_tokens, said.finished.completion_tokens) == (len(prompt), 24)
    assert said.finished.ids == tuple(said.ids)
    assert said.finished.seed == 1


def test_every_recorded_number_comes_from_the_whole_distribution(model: Model) -> None:
    said = answer(Engine(model))
    ids = prompt_ids(HELLO, model.template, model.tokenizer)
    for record in said.steps:
        logits = logits_after(model, ids)
        raw = special.softmax(logits)
        assert math.isclose(record.probability, raw[record.id], rel_tol=1e-3)
        assert math.isclose(record.logprob, special.log_softmax(logits)[record.id], abs_tol=1e-3)
        assert abs(record.rank - 1 - int((logits > logits[record.id]).sum())) <= 1  # two may be equal but for rounding
        assert math.isclose(record.prediction.entropy_bits, special.entr(raw).sum() / math.log(2), rel_tol=1e-3)
        assert record.drawn == dice(1, record.position)
        assert record.bytes == model.tokenizer.token_bytes(record.id)
        assert record.id in [candidate.id for candidate in record.prediction.candidates if candidate.kept]
        ids.append(record.id)


def test_the_chain_sees_the_prompt_and_the_answer_so_far(model: Model) -> None:
    """Against transformers' processors over the same ids."""
    settings = replace(PLAIN, order="transformers", temperature=0.9, repetition_penalty=1.4, penalty_window=-1)
    said = answer(Engine(model), settings=settings)
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(1.4),
            TemperatureLogitsWarper(0.9),
            TopKLogitsWarper(40),
            TopPLogitsWarper(0.95),
            MinPLogitsWarper(0.05),
        ]
    )
    ids = prompt_ids(HELLO, model.template, model.tokenizer)
    for record in said.steps:
        logits = torch.from_numpy(logits_after(model, ids))[None]
        scores = processors(torch.tensor([ids]), logits)[0].numpy()  # type: ignore[arg-type]
        assert math.isclose(record.chain_probability, special.softmax(scores)[record.id], rel_tol=5e-3)
        ids.append(record.id)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("readable", [True, False], ids=["readable", "halves of characters"])
def test_the_pieces_joined_are_the_text_and_the_whole_decode(tokenizer: Tokenizer, readable: bool, seed: int) -> None:
    said = answer(Engine(tiny_model(tokenizer, readable=readable)), settings=replace(PLAIN, seed=seed, max_tokens=60))
    assert "".join(record.text for record in said.steps) == said.finished.text == tokenizer.decode(said.ids)
    assert b"".join(record.bytes for record in said.steps).decode("utf-8", "replace") == said.finished.text
    assert readable or "\ufffd" in said.finished.text, "the example has no broken character to show anything with"


# --- the dice and the settings --------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_text(model: Model) -> None:
    engine = Engine(model)
    one, again = answer(engine), answer(engine)
    assert one.ids == again.ids == answer(Engine(model)).ids
    texts = {answer(engine, settings=replace(PLAIN, seed=seed)).finished.text for seed in range(8)}
    assert len(texts) == 8


def test_without_a_seed_each_reply_has_its_own_and_says_which(model: Model) -> None:
    engine = Engine(model)
    anew = replace(PLAIN, seed=None)
    one, other = answer(engine, settings=anew), answer(engine, settings=anew)
    assert one.finished.seed != other.finished.seed
    assert one.ids != other.ids
    assert answer(engine, settings=replace(PLAIN, seed=one.finished.seed)).ids == one.ids


def test_a_setting_changed_in_the_middle_acts_on_the_very_next_token(model: Model) -> None:
    hot, cold = replace(PLAIN, temperature=3.0, top_k=0, top_p=1.0, min_p=0.0), replace(PLAIN, temperature=0.0)
    steps: list[TokenRecord] = []
    for event in Engine(model).reply(HELLO, lambda: hot if len(steps) < 10 else cold):
        if isinstance(event, TokenRecord):
            steps.append(event)
    assert [record.settings for record in steps] == [hot] * 10 + [cold] * 14
    assert [record.rank for record in steps[10:]] == [1] * 14
    assert any(record.rank > 1 for record in steps[:10])
    unchanged = answer(Engine(model), settings=hot)
    assert [record.id for record in steps[:10]] == unchanged.ids[:10]
    assert [record.drawn for record in steps] == [
        record.drawn for record in unchanged.steps
    ]  # the luck is never touched


# --- how it ends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_a_reply_ends_at_its_limit(model: Model, limit: int) -> None:
    said = answer(Engine(model), settings=replace(PLAIN, max_tokens=limit))
    assert said.finished.reason == "length"
    assert len(said.steps) == said.finished.completion_tokens == limit
    assert not any(record.ends for record in said.steps)


def test_a_reply_ends_with_the_end_of_turn(tokenizer: Tokenizer, model: Model) -> None:
    free = answer(Engine(model))
    at = next(n for n in range(5, 24) if free.ids[n] not in free.ids[:n])  # make of one of its tokens the end
    ending = tiny_model(tokenizer, end_ids=frozenset({free.ids[at]}))
    said = answer(Engine(ending))
    assert said.finished.reason == "end"
    assert said.ids == free.ids[: at + 1]
    assert [record.ends for record in said.steps] == [False] * at + [True]
    assert said.finished.ids == tuple(free.ids[:at])
    assert said.finished.completion_tokens == at + 1
    assert said.finished.text == tokenizer.decode(free.ids[:at]) == "".join(record.text for record in said.steps)


def test_an_end_of_turn_brings_what_was_held_back(tokenizer: Tokenizer, model: Model) -> None:
    free = answer(Engine(model))
    at = next(n for n in range(5, 24) if free.ids[n] not in free.ids[:n])
    text = tokenizer.decode(free.ids[:at])
    ending = tiny_model(tokenizer, end_ids=frozenset({free.ids[at]}))
    said = answer(Engine(ending), settings=replace(PLAIN, stop=(text[-3:] + "never comes",)))
    assert (said.finished.reason, said.finished.text) == ("end", text)
    assert "".join(record.text for record in said.steps) == text


@pytest.mark.parametrize("start", range(0, 30, 3))
@pytest.mark.parametrize("length", [1, 3, 8])
def test_a_reply_ends_before_a_stop_string(model: Model, start: int, length: int) -> None:
    whole = answer(Engine(model)).finished.text
    stop = whole[start : start + length]
    said = answer(Engine(model), settings=replace(PLAIN, stop=(stop,)))
    assert said.finished.reason == "stop string"
    assert said.finished.text == whole[: whole.index(stop)]
    assert "".join(record.text for record in said.steps) == said.finished.text
    assert said.finished.ids is None  # the cut may lie inside a token
    assert len(said.steps) == said.finished.completion_tokens < 24 or whole.endswith(stop)


@pytest.mark.parametrize(("before", "after"), [("", ""), (" is", ""), ("", " the")])
def test_a_reply_ends_before_a_special_token_that_a_stop_string_names(
    model: Model, before: str, after: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [token_id for text in ("This is", START, " the town") for token_id in model.tokenizer.encode(text)]
    script = iter(ids)
    monkeypatch.setattr(Distribution, "draw", lambda self, uniform: next(script))
    settings = Settings(max_tokens=len(ids), stop=(before + START + after,))
    said = answer(Engine(model), settings=settings)
    assert (said.finished.reason, said.finished.text) == ("stop string", "This is".removesuffix(before))
    assert "".join(record.text for record in said.steps) == said.finished.text


def test_a_special_token_that_no_stop_string_names_stays_unseen(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [token_id for text in ("This is", START, " the town") for token_id in model.tokenizer.encode(text)]
    script = iter(ids)
    monkeypatch.setattr(Distribution, "draw", lambda self, uniform: next(script))
    said = answer(Engine(model), settings=Settings(max_tokens=len(ids), stop=(START[:-1] + "!", "never")))
    assert (said.finished.reason, said.finished.text) == ("length", "This is the town")


def test_a_stop_string_that_never_completes_takes_nothing_away(model: Model) -> None:
    whole = answer(Engine(model)).finished.text
    said = answer(Engine(model), settings=replace(PLAIN, stop=(whole[-5:] + "\x00",)))
    assert (said.finished.reason, said.finished.text) == ("length", whole)
    assert "".join(record.text for record in said.steps) == whole


def test_a_limit_lowered_in_the_middle_ends_the_reply_and_brings_what_was_held_back(model: Model) -> None:
    whole = answer(Engine(model))
    written = "".join(record.text for record in whole.steps[:11])
    high = replace(PLAIN, stop=(written[-4:] + "\x00",))
    low = replace(high, max_tokens=3)
    steps: list[TokenRecord] = []
    for event in Engine(model).reply(HELLO, lambda: high if len(steps) < 10 else low):
        if isinstance(event, TokenRecord):
            steps.append(event)
        elif isinstance(event, Finished):
            finished = event
    assert (finished.reason, finished.completion_tokens) == ("length", 11)
    assert finished.text == written == "".join(record.text for record in steps)


def test_a_reply_ends_where_the_context_does(tokenizer: Tokenizer) -> None:
    small = tiny_model(tokenizer, context_length=80)
    said = answer(Engine(small), settings=replace(PLAIN, max_tokens=None))
    assert said.finished.reason == "context"
    assert said.steps[-1].position == 79
    assert said.finished.prompt_tokens + said.finished.completion_tokens == 80
    assert "".join(record.text for record in said.steps) == said.finished.text == tokenizer.decode(said.ids)


@pytest.mark.parametrize("after", [0, 1, 9])
def test_a_stop_acts_before_the_next_token_and_keeps_what_was_written(model: Model, after: int) -> None:
    free = answer(Engine(model))
    steps: list[TokenRecord] = []
    engine = Engine(model)
    for event in engine.reply(HELLO, lambda: PLAIN, lambda: len(steps) >= after):
        if isinstance(event, TokenRecord):
            steps.append(event)
        elif isinstance(event, Finished):
            finished = event
    assert finished.reason == "stopped"
    assert finished.ids == tuple(free.ids[:after])
    assert len(steps) == finished.completion_tokens == after
    assert finished.text == model.tokenizer.decode(free.ids[:after])
    assert_alike(answer(engine), free)  # and the engine is as good as new


def test_what_a_stop_string_held_back_is_not_lost_by_a_stop(model: Model) -> None:
    whole = answer(Engine(model))
    written = "".join(record.text for record in whole.steps[:8])
    settings = replace(PLAIN, stop=(written[-4:] + "\x00",))
    steps: list[TokenRecord] = []
    for event in Engine(model).reply(HELLO, lambda: settings, lambda: len(steps) == 8):
        if isinstance(event, TokenRecord):
            steps.append(event)
        elif isinstance(event, Finished):
            finished = event
    assert "".join(record.text for record in steps) == written[:-4]
    assert finished.text == written


def long_conversation(tokenizer: Tokenizer, tokens: int) -> Conversation:
    """One message that makes a prompt of about so many tokens."""
    words = "the sun shines on the little town by the sea. "
    repeat = tokens // len(tokenizer.encode(words)) + 1
    return (Message(role="user", text=words * repeat),)


def test_a_stop_acts_within_one_chunk_of_the_prompt(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer, context_length=8 * CHUNK)
    conversation = long_conversation(tokenizer, 4 * CHUNK)
    engine = Engine(model, speculate=False)
    with counting(model) as passes:
        stopped = answer(engine, conversation, stopped=lambda: len(passes) == 2)
    assert passes == [CHUNK, CHUNK]  # the wish came during the second chunk: there was no third
    assert (stopped.finished.reason, stopped.finished.ids, stopped.finished.text) == ("stopped", (), "")
    assert stopped.finished.prompt_tokens == stopped.prefills[0].total
    with counting(model) as passes:
        said = answer(engine, conversation)
    assert said.prefills[0].reused == 2 * CHUNK  # nor is it read again
    assert sum(passes) == said.finished.prompt_tokens - 2 * CHUNK + 23
    assert_alike(said, answer(Engine(model), conversation))


def test_a_reply_nobody_reads_to_the_end_leaves_the_engine_as_it_should_be(model: Model) -> None:
    engine = Engine(model)
    for event in engine.reply(HELLO, lambda: PLAIN):
        if isinstance(event, TokenRecord) and event.position > 20:
            break
    assert_alike(answer(engine), answer(Engine(model)))


@pytest.mark.skipif(library() is None, reason="tokens are guessed for the C library, which is not built")
def test_guesses_are_counted_and_change_nothing(model: Model) -> None:
    again = Message(role="user", text="Say that again and again and again and again, please.")
    settings = replace(PLAIN, temperature=0.3, max_tokens=80)
    plain = answer(Engine(model, speculate=False), (again,), settings)
    guessing = answer(Engine(model), (again,), settings)
    assert [record.id for record in guessing.steps] == [record.id for record in plain.steps]
    assert [record.prediction for record in guessing.steps] == [record.prediction for record in plain.steps]
    assert (plain.finished.guesses, plain.finished.right_guesses) == (0, 0)
    assert 0 < guessing.finished.right_guesses <= guessing.finished.guesses
    assert guessing.finished.right_guesses == sum(record.guessed for record in guessing.steps)


# --- only what is new is computed -----------------------------------------------------------------------------------


def test_the_second_turn_reads_only_what_is_new(model: Model) -> None:
    engine = Engine(model, speculate=False)
    first = answer(engine)
    with counting(model) as passes:
        second = answer(engine, grown(HELLO, first))
    known = first.finished.prompt_tokens + first.finished.completion_tokens - 1  # the last token was never read
    assert second.prefills[0].reused == known
    assert passes == [second.finished.prompt_tokens - known] + [1] * 23
    assert_alike(second, answer(Engine(model), grown(HELLO, first)))


def test_the_same_question_again_reads_nothing(model: Model) -> None:
    engine = Engine(model, speculate=False)
    first = answer(engine)
    with counting(model) as passes:
        again = answer(engine, settings=replace(PLAIN, seed=2))
    assert passes == [1] * 23
    assert [p.done for p in again.prefills] == [first.finished.prompt_tokens]
    assert_alike(again, answer(Engine(model), settings=replace(PLAIN, seed=2)))


def test_a_question_changed_is_a_question_asked_afresh(model: Model) -> None:
    engine = Engine(model)
    first = answer(engine)
    answer(engine, grown(HELLO, first))
    other = grown(HELLO, first, "What is the weather by the sea?")
    with counting(model) as passes:
        said = answer(engine, other)
    assert passes[0] < 20  # up to the changed words everything is known
    assert_alike(said, answer(Engine(model), other))


def test_a_token_swapped_is_a_branch_that_costs_what_comes_after_it(model: Model) -> None:
    engine = Engine(model)
    first = answer(engine)
    assert first.finished.ids is not None
    swapped = [*first.finished.ids[:10], model.tokenizer.encode("!")[0]]
    branch = (*HELLO, Message(role="assistant", text=model.tokenizer.decode(swapped), ids=tuple(swapped)))
    branch += (Message(role="user", text="And then?"),)
    with counting(model) as passes:
        said = answer(engine, branch)
    known = first.finished.prompt_tokens + 10
    assert said.prefills[0].reused == known
    assert passes[0] == said.finished.prompt_tokens - known
    assert_alike(said, answer(Engine(model), branch))


# --- what fits ------------------------------------------------------------------------------------------------------


def test_messages_that_no_longer_fit_are_left_out_and_counted(tokenizer: Tokenizer) -> None:
    small = tiny_model(tokenizer, context_length=160)
    conversation: Conversation = (Message(role="system", text="Be kind."),)
    for n in range(6):
        conversation += (Message(role="user", text=f"Question {n}?"), Message(role="assistant", text="I am fine."))
    conversation += (Message(role="user", text="And the sea?"),)
    said = answer(Engine(small), conversation, replace(PLAIN, max_tokens=3))
    dropped = said.prefills[0].dropped
    assert dropped > 0
    assert dropped % 2 == 0  # whole exchanges
    assert all(prefill.dropped == dropped for prefill in said.prefills)
    left = conversation[:1] + conversation[1 + dropped :]
    assert said.finished.prompt_tokens == len(prompt_ids(left, small.template, tokenizer)) <= 160 - 160 // 4
    more = conversation[:1] + conversation[1 + dropped - 2 :]
    assert len(prompt_ids(more, small.template, tokenizer)) > 160 - 160 // 4  # one exchange more would not have fitted
    assert_alike(said, answer(Engine(small), left, replace(PLAIN, max_tokens=3)))


def test_a_message_that_alone_does_not_fit_is_refused(model: Model) -> None:
    engine = Engine(model)
    answer(engine)
    conversation = long_conversation(model.tokenizer, 300)
    count = len(prompt_ids(conversation, model.template, model.tokenizer))
    with pytest.raises(ContextFull, match=f"{count} tokens.* 256"):
        answer(engine, conversation)
    assert_alike(answer(engine), answer(Engine(model)))


def test_nothing_to_read_is_refused(tokenizer: Tokenizer) -> None:
    engine = Engine(tiny_model(tokenizer, template=None))
    with pytest.raises(EmptyPrompt):
        answer(engine, (Message(role="user", text=""),))
    with pytest.raises(EmptyPrompt):
        answer(engine, ())


def test_a_model_without_a_template_goes_on_from_the_text(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer, template=None)
    said = answer(Engine(model), (Message(role="user", text="Once upon a time"),))
    assert said.finished.prompt_tokens == len(tokenizer.encode("Once upon a time"))


def test_a_template_that_refuses_is_heard(tokenizer: Tokenizer) -> None:
    refusing = tiny_model(tokenizer, template="{{ raise_exception('Not to you') }}")
    with pytest.raises(BadTemplate, match="Not to you"):
        answer(Engine(refusing))


def test_broken_weights_are_said_in_a_sentence(tokenizer: Tokenizer) -> None:
    broken = tiny_model(tokenizer)
    with torch.no_grad():
        broken.transformer.norm.get_parameter("weight").fill_(math.nan)
    with pytest.raises(BadCheckpoint, match="no valid number"):
        answer(Engine(broken))


# --- looking again --------------------------------------------------------------------------------------------------


def test_looking_at_a_step_again_shows_what_was_recorded_and_computes_nothing(model: Model) -> None:
    engine = Engine(model)
    settings = replace(PLAIN, repetition_penalty=1.2, presence_penalty=0.3)
    said = answer(engine, settings=settings)
    with counting(model) as passes:
        for record in said.steps:
            assert engine.inspect(record.position, settings) == (record.id, record.drawn, record.prediction)
    assert passes == []
    assert_alike(answer(engine, settings=settings), said)  # looking leaves no trace


def test_without_a_seed_looking_again_throws_the_same_dice(model: Model) -> None:
    engine = Engine(model)
    anew = replace(PLAIN, seed=None)
    said = answer(engine, settings=anew)
    for record in said.steps:
        assert engine.inspect(record.position, anew) == (record.id, record.drawn, record.prediction)


def test_other_settings_change_the_shape_and_never_the_luck(model: Model) -> None:
    engine = Engine(model)
    said = answer(engine)
    for record in said.steps:
        chosen, drawn, prediction = engine.inspect(record.position, replace(PLAIN, temperature=0.0))
        assert drawn == record.drawn
        favourite = min(prediction.candidates, key=lambda candidate: candidate.rank)
        assert (chosen, favourite.probability) == (favourite.id, 1.0)
        assert prediction.entropy_bits == record.prediction.entropy_bits
        _, drawn, flat = engine.inspect(record.position, replace(PLAIN, temperature=100.0))
        assert drawn == record.drawn
        assert flat.chain_entropy_bits >= record.prediction.chain_entropy_bits
        _, other, _ = engine.inspect(record.position, replace(PLAIN, seed=2))
        assert other == dice(2, record.position) != record.drawn


def test_the_persons_own_words_can_be_looked_at_too(model: Model) -> None:
    engine = Engine(model)
    answer(engine)
    ids = prompt_ids(HELLO, model.template, model.tokenizer)
    for position in range(1, len(ids)):
        _, _, prediction = engine.inspect(position, PLAIN, top=400)
        logits = logits_after(model, ids[:position])
        listed = {candidate.id: candidate.raw_probability for candidate in prediction.candidates}
        assert math.isclose(listed[ids[position]], special.softmax(logits)[ids[position]], rel_tol=1e-3)


@pytest.mark.parametrize("position", [-1, 0, 10_000])
def test_there_is_nothing_to_look_at_outside(model: Model, position: int) -> None:
    engine = Engine(model)
    answer(engine)
    with pytest.raises(ValueError, match="has not been read"):
        engine.inspect(position, PLAIN)


def test_a_text_can_be_looked_at_without_an_answer(model: Model) -> None:
    engine = Engine(model)
    ids = model.tokenizer.encode("Once upon a time")
    engine.read(ids)
    _, drawn, prediction = engine.inspect(len(ids), PLAIN, top=400)
    raw = special.softmax(logits_after(model, ids))
    np.testing.assert_allclose(
        [candidate.raw_probability for candidate in prediction.candidates],
        [raw[candidate.id] for candidate in prediction.candidates],
        rtol=1e-3,
    )
    assert drawn == dice(1, len(ids))
    with counting(model) as passes:
        engine.read(model.tokenizer.encode("Once upon a town"))
    assert sum(passes) < len(ids)  # a text typed on is read from where it changed


def test_large_numbers_are_said_to_be_read(model: Model) -> None:
    with pytest.raises(ContextFull, match=r"1,\d\d\d tokens"):
        answer(Engine(model), long_conversation(model.tokenizer, 1_300))


def test_a_reading_that_does_not_fit_is_refused(model: Model) -> None:
    with pytest.raises(ContextFull, match="300 tokens"):
        Engine(model).read([5] * 300)


def test_as_many_candidates_as_asked_for(model: Model) -> None:
    for top in (1, 7):
        steps = [
            event for event in Engine(model).reply(HELLO, lambda: PLAIN, top=top) if isinstance(event, TokenRecord)
        ]
        assert all(top <= len(record.prediction.candidates) <= 2 * top + 1 for record in steps)


# --- looking at some tokens only -------------------------------------------------------------------------------------


def bare(token: Token) -> dict[str, Any]:
    """What a token is, but for the time it took."""
    names = ("position", "id", "bytes", "text", "shown", "drawn", "ends", "channel")
    return {name: getattr(token, name) for name in names}


def test_the_same_tokens_are_chosen_whether_they_are_recorded_or_not(model: Model) -> None:
    steps = answer(Engine(model)).steps
    engine, tokens, recorded = Engine(model), [], []
    for event in engine.tokens(HELLO, lambda: PLAIN):
        if isinstance(event, Token):
            assert not isinstance(event, TokenRecord)
            tokens.append(event)
            if len(tokens) % 3 == 0:
                recorded.append(engine.record())
    assert [bare(token) for token in tokens] == [bare(record) for record in steps]
    assert [(record.prediction, record.logprob, record.rank, record.chain_probability) for record in recorded] == [
        (record.prediction, record.logprob, record.rank, record.chain_probability) for record in steps[2::3]
    ]


def test_the_last_token_can_be_looked_at_when_the_reply_is_over(model: Model) -> None:
    engine = Engine(model)
    *_, last, end = engine.tokens(HELLO, lambda: PLAIN)
    assert isinstance(last, Token)
    assert isinstance(end, Finished)
    assert bare(engine.record()) == bare(last)


def test_there_is_nothing_to_look_at_before_the_first_token(model: Model) -> None:
    engine = Engine(model)
    with pytest.raises(ValueError, match="no token"):
        engine.record()
    answer(engine)
    next(engine.tokens(HELLO, lambda: PLAIN))  # another reply has begun
    with pytest.raises(ValueError, match="no token"):
        engine.record()


def test_what_a_template_moves_or_loses_is_told_with_the_prompt(tokenizer: Tokenizer) -> None:
    users = "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    conversation = (Message(role="system", text="Be brief."), *HELLO)
    told = answer(Engine(tiny_model(tokenizer, template=users)), conversation).prefills
    assert {prefill.remarks for prefill in told} == {(SYSTEM_MOVED,)}
    told = answer(Engine(tiny_model(tokenizer)), conversation).prefills
    assert {prefill.remarks for prefill in told} == {()}


# --- thoughts ---------------------------------------------------------------------------------------------------------


def test_the_tokens_of_a_thought_are_marked(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    said = "<think>I am warm.</think>Yes, hello."
    ids = model.tokenizer.encode(said)
    script = iter(ids)
    monkeypatch.setattr(Distribution, "draw", lambda self, uniform: next(script))
    *events, end = Engine(model).reply(HELLO, lambda: Settings(max_tokens=len(ids)))
    steps = [event for event in events if isinstance(event, TokenRecord)]
    text = "".join(record.text for record in steps)
    assert text == said
    marked = "".join(record.text for record in steps if record.channel == "thought")
    assert "I am warm.</think" in marked
    assert "Yes, hello." not in marked
    assert isinstance(end, Finished)
    assert end.thought_tokens == sum(record.channel == "thought" for record in steps) > 0
    assert end.shown == Shown(thought="I am warm.", answer="Yes, hello.")
    assert "".join(record.shown.thought for record in steps) == end.shown.thought
    assert "".join(record.shown.answer for record in steps) == end.shown.answer
    thinking = [record.shown.thinking for record in steps]
    assert thinking == [False] * thinking.index(True) + [True] * sum(thinking) + [False] * thinking[::-1].index(True)


def test_a_template_that_opens_the_thought_is_noticed(tokenizer: Tokenizer) -> None:
    for tail, thinking in (("<think>\n", True), ("<think>\n\n</think>\n", False)):
        model = tiny_model(tokenizer, template=CHATML.replace("assistant\n", f"assistant\n{tail}"))
        first, *events = Engine(model).reply(HELLO, lambda: Settings(max_tokens=3))
        assert isinstance(first, Prefill)
        assert first.thinking is thinking
        channel = "thought" if thinking else "answer"
        tokens = [event for event in events if isinstance(event, TokenRecord)]
        assert [token.channel for token in tokens] == [channel] * 3
        assert [token.shown.thinking for token in tokens] == [thinking] * 3
