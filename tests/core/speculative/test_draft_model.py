"""A draft changes nothing but the time: every logit and every token with one is that without, to the last bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch

from core.backends.choose import choose_backend
from core.backends.eager import MAX_PREFILL_TOKENS as CHUNK
from core.backends.native import NativeBackend
from core.config import ModelConfig
from core.conversation import Message
from core.decoding.decoder import Decoder
from core.decoding.model_runner import ModelRunner
from core.engine import Engine
from core.errors import OutOfMemory
from core.model import Model
from core.native import bindings as native
from core.records import TokenRecord
from core.settings import Settings
from core.speculative.draft_cache import OwnCache, SharedCache
from core.speculative.draft_length import DraftLength
from core.speculative.draft_model import DraftModel, DraftProposer
from core.text.tokenizer import Tokenizer
from core.transformer import Transformer
from tests.core.support.native_models import LONG, quantize_model
from tests.core.support.replies import HELLO, PLAIN, answer
from tests.core.support.transformers import CONFIGS, SMALL
from tests.support.decoders import decoder_of
from tests.support.tiny import tiny_model

CPU = torch.device("cpu")
OTHER = replace(CONFIGS["parallel, partial rope"], n_layers=1, d_ff=20)

pytestmark = pytest.mark.skipif(native.library() is None, reason="the C library is not built")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


class Always(DraftLength):
    """As many tokens as there can be, whatever they cost."""

    def size(self) -> int:
        return self._most

    def may_read(self, n_tokens: int) -> bool:
        return True


MakeProposer = Callable[[ModelRunner], DraftProposer]


def draft_of(transformer: Transformer, length: DraftLength, *, shared: bool = False) -> MakeProposer:
    dtype = transformer.norm.weight.dtype

    def draft(runner: ModelRunner) -> DraftProposer:
        own = OwnCache(decoder_of(transformer, device=CPU, dtype=dtype))
        backend = choose_backend(transformer, device=CPU, dtype=dtype, n_threads=1)
        cache = SharedCache(runner.cache, backend) if shared else own
        return DraftProposer(cache, n_tokens=transformer.config.vocab_size, length=length)

    return draft


def decoders(transformer: Transformer, draft: MakeProposer) -> tuple[Decoder, Decoder]:
    dtype = transformer.norm.weight.dtype
    plain, drafted = (decoder_of(transformer, device=CPU, dtype=dtype, draft=one) for one in (None, draft))
    return plain, drafted


def written(decoder: Decoder, count: int, *, first: int = 1, wrong_at: Sequence[int] = ()) -> np.ndarray:
    """The logits of a greedy text, which takes another turn at some positions."""
    found, token = [], first
    for number in range(count):
        found.append(decoder.decode_one(token))
        token = int(found[-1].argmin() if number in wrong_at else found[-1].argmax())
    return np.stack(found)


def agreeing(transformer: Transformer, noise: float) -> Transformer:
    """Another model that often says the same."""
    other = Transformer(transformer.config).to(transformer.norm.weight.dtype).eval()
    other.load_state_dict({name: one + noise * torch.randn_like(one) for name, one in transformer.state_dict().items()})
    return other


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8", "int4"])
@pytest.mark.parametrize("way", ["itself", "another", "another family"])
def test_no_bit_of_any_logit_changes(way: str, kind: str, target: str) -> None:
    """With guesses right and wrong, over turns, rewinds, forks, and text that comes without being written."""
    dtype = torch.float32 if kind == "float32" else torch.bfloat16
    transformer = Transformer(SMALL).to(dtype).eval()
    smaller = agreeing(transformer, 0.02) if way != "another family" else Transformer(OTHER).to(dtype).eval()
    if kind in ("int8", "int4"):
        quantize_model(transformer, kind)
    if way == "itself":
        quantize_model(smaller, "int4")
    plain, drafted = decoders(transformer, draft_of(smaller, Always(7), shared=way == "itself"))
    logits = [[], []]
    for decoder, heard in zip((plain, drafted), logits, strict=True):
        list(decoder.prefill([5, 6, 7, 8] * 3))
        heard.append(written(decoder, 60, wrong_at=(3, 4, 9, 17, 40)))
        decoder.rewind(47)  # in the middle of a guess, for one of them
        heard.append(written(decoder, 30, first=2, wrong_at=(5,)))
        list(decoder.prefill([9] * 70))
        heard.append(written(decoder, 10))
        decoder.keep_common([5, 6, 7, 9])
        heard.append(written(decoder, 20, first=3))
        heard.append(np.stack([decoder.logits(position) for position in range(3, 23)]))
    for one, other in zip(*logits, strict=True):
        assert np.array_equal(one, other)
    assert plain.ids == drafted.ids
    assert drafted.lookahead.proposed > 0
    if way != "another family":
        assert 0 < drafted.lookahead.accepted < drafted.lookahead.proposed


@pytest.mark.parametrize("shared", [False, True])
def test_a_perfect_draft_is_always_right(shared: bool) -> None:
    transformer = Transformer(SMALL).eval()
    plain, drafted = decoders(transformer, draft_of(transformer, Always(7), shared=shared))
    with patch("core.speculative.draft_model._SURE", 0.0):
        assert np.array_equal(written(plain, 80), written(drafted, 80))
    assert drafted.lookahead.accepted == drafted.lookahead.proposed == 70, "one token of eight is not guessed"


def test_what_the_draft_is_not_sure_of_is_not_guessed() -> None:
    transformer = Transformer(SMALL).eval()
    transformer.head.weight.data *= 0.01  # every token is about as likely
    _, drafted = decoders(transformer, draft_of(transformer, Always(7)))
    written(drafted, 40)
    assert drafted.lookahead.proposed == 0


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("config", [SMALL, LONG])
def test_guesses_end_with_the_context_and_where_a_text_becomes_long(config: ModelConfig, shared: bool) -> None:
    """Longrope reads everything anew behind 20 tokens; then it goes on with guesses, and back."""
    transformer = Transformer(replace(config, context_length=45)).eval()
    plain, drafted = decoders(transformer, draft_of(transformer, Always(7), shared=shared))
    with patch("core.speculative.draft_model._SURE", 0.0):
        for decoder in (plain, drafted):
            list(decoder.prefill([4, 5, 6]))
        assert np.array_equal(written(plain, 42), written(drafted, 42))
        assert drafted.lookahead.accepted > 25
        for decoder in (plain, drafted):
            decoder.rewind(12)
        assert np.array_equal(written(plain, 20), written(drafted, 20))
    assert plain.ids == drafted.ids


def test_a_draft_with_less_context_guesses_as_far_as_it_goes() -> None:
    transformer = Transformer(SMALL).eval()
    smaller = Transformer(replace(SMALL, context_length=30)).eval()
    smaller.load_state_dict(transformer.state_dict())
    plain, drafted = decoders(transformer, draft_of(smaller, Always(7)))
    with patch("core.speculative.draft_model._SURE", 0.0):
        assert np.array_equal(written(plain, 60), written(drafted, 60))
    assert 20 < drafted.lookahead.accepted == drafted.lookahead.proposed <= 30


def test_a_draft_reads_a_prompt_chunk_by_chunk_and_only_once() -> None:
    transformer = Transformer(replace(SMALL, context_length=4 * CHUNK)).eval()
    own = OwnCache(decoder_of(transformer, device=CPU, dtype=torch.float32))
    passes: list[int] = []
    transformer.register_forward_pre_hook(lambda _, inputs: passes.append(inputs[0].shape[1]))
    draft = DraftProposer(own, n_tokens=101, length=Always(7))
    ids = [number % 101 for number in range(2 * CHUNK + 100)]
    with patch("core.speculative.draft_model._SURE", 0.0):
        assert [len(draft.propose(ids, 7)) for _ in range(3)] == [0, 0, 7]
        assert passes == [CHUNK, CHUNK, 99], "the last token gives the logits"
        assert len(draft.propose([*ids[:-5], 1, 2, 3], 7)) == 7
        draft.forget(300)
        assert len(draft.propose([*ids[:300], 1], 7)) == 7
    assert passes == [CHUNK, CHUNK, 99], "what both texts begin with is not read again"


def test_after_a_fork_a_draft_guesses_as_if_it_had_read_nothing_else() -> None:
    transformer = Transformer(SMALL).eval()
    for block in transformer.blocks:
        block.attention.output.weight.data *= 30  # what came before the last token matters, too

    def draft() -> DraftProposer:
        own = OwnCache(decoder_of(transformer, device=CPU, dtype=torch.float32))
        return DraftProposer(own, n_tokens=101, length=Always(7))

    texts = [np.random.default_rng(seed).integers(0, 101, 12).tolist() for seed in range(6)]
    texts += [texts[-1][:9], [*texts[-1][:9], 5], [*texts[-1], 1], [*texts[-1], 1, 2], [*texts[0], 1, 2]]
    kept, guesses = draft(), []
    with patch("core.speculative.draft_model._SURE", 0.0):
        for old, ids in pairwise([[], *texts]):
            kept.forget(next((n for n, (a, b) in enumerate(zip(old, ids, strict=False)) if a != b), len(old)))
            guesses.append(kept.propose(ids, 7))
            assert guesses[-1] == draft().propose(ids, 7)
    assert guesses[-1] != guesses[-2], "the same last token behind another beginning"


def test_a_draft_that_cannot_read_a_text_gives_no_guesses_for_it() -> None:
    transformer, smaller = Transformer(SMALL).eval(), Transformer(replace(SMALL, vocab_size=50)).eval()
    plain, drafted = decoders(transformer, draft_of(smaller, Always(7)))
    with patch("core.speculative.draft_model._SURE", 0.0):
        for decoder in (plain, drafted):
            list(decoder.prefill([1, 60, 2]))
        assert np.array_equal(written(plain, 10), written(drafted, 10))
        assert drafted.lookahead.proposed == 0
        drafted.rewind(1)
        drafted.decode_one(3)
    assert drafted.lookahead.proposed > 0, "of another text it does"


@pytest.mark.parametrize("error", [OutOfMemory("full"), MemoryError(), RuntimeError("out of memory")])
@pytest.mark.parametrize("shared", [False, True])
def test_a_draft_that_runs_out_of_memory_is_done_without(shared: bool, error: Exception) -> None:
    transformer, smaller = Transformer(SMALL).eval(), Transformer(SMALL).eval()
    plain, drafted = decoders(transformer, draft_of(smaller, Always(7), shared=shared))
    whole = NativeBackend._prepared

    def full(step: NativeBackend, *rest: Any) -> Any:
        if step.transformer is smaller:
            raise error
        return whole(step, *rest)

    with patch.object(NativeBackend, "_prepared", full):
        assert np.array_equal(written(plain, 20), written(drafted, 20))
    assert drafted.lookahead.proposed == 0


def test_a_draft_whose_numbers_are_broken_guesses_nothing() -> None:
    transformer, smaller = Transformer(SMALL).eval(), Transformer(SMALL).eval()
    smaller.norm.weight.data.fill_(torch.nan)
    for shared in (False, True):
        plain, drafted = decoders(transformer, draft_of(smaller, Always(7), shared=shared))
        assert np.array_equal(written(plain, 20), written(drafted, 20))
        assert drafted.lookahead.proposed == 0


def test_a_mistake_in_the_draft_is_not_swallowed() -> None:
    transformer = Transformer(SMALL).eval()
    _, drafted = decoders(transformer, draft_of(transformer, Always(7), shared=True))
    with patch.object(NativeBackend, "decode", side_effect=RuntimeError("a mistake")), pytest.raises(RuntimeError):
        written(drafted, 3)


# --- with times made up ----------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[Transformer, float], None]:
    """A clock that stands still but for the steps of some transformers."""
    now, costs = [0.0], dict[int, float]()
    whole = NativeBackend._prepared

    def prepared(step: NativeBackend, *rest: Any) -> Any:
        now[0] += costs.get(id(step.transformer), 0.0)
        return whole(step, *rest)

    monkeypatch.setattr(NativeBackend, "_prepared", prepared)
    for module in ("core.decoding.decoder", "core.speculative.draft_model"):
        monkeypatch.setattr(f"{module}.time.perf_counter", lambda: now[0])
    return lambda transformer, seconds: costs.update({id(transformer): seconds})


def test_a_useless_draft_is_soon_left_alone(clock: Callable[[Transformer, float], None]) -> None:
    transformer, useless = Transformer(SMALL).eval(), Transformer(SMALL).eval()
    useless.head.weight.data *= 50  # sure of itself, too
    clock(transformer, 1.0)
    clock(useless, 0.3)
    _, drafted = decoders(transformer, draft_of(useless, DraftLength(7)))
    for token in np.random.default_rng(0).integers(0, 101, 500).tolist():
        drafted.decode_one(token)
    assert 0 < drafted.lookahead.proposed < 50, "500 without a rest"


def test_a_good_draft_is_used_if_it_is_fast(clock: Callable[[Transformer, float], None]) -> None:
    transformer = Transformer(SMALL).eval()
    for seconds, used in ((0.1, True), (2.0, False)):
        twin = agreeing(transformer, 0.0)
        twin.head.weight.data *= 50
        clock(transformer, 1.0)
        clock(twin, seconds)
        _, drafted = decoders(transformer, draft_of(twin, DraftLength(7)))
        written(drafted, 300)
        assert (drafted.lookahead.accepted > 200) == used
        assert drafted.lookahead.accepted > 0 or not used


# --- the whole road --------------------------------------------------------------------------------------------------


def drafting(model: Model, drafter: DraftModel) -> Engine:
    """Makes every guess there can be."""
    with patch("core.speculative.draft_model.DraftLength", Always):
        return Engine(model, draft=drafter)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(seed=0, temperature=0, max_tokens=80),
        Settings(seed=1, temperature=0.7, max_tokens=80),
        Settings(seed=2, temperature=1.3, top_k=0, min_p=0, max_tokens=80),
        Settings(seed=3, repetition_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.2, max_tokens=80),
        Settings(seed=4, top_p=0.6, typical_p=0.7, order="transformers", max_tokens=80),
    ],
)
@pytest.mark.parametrize("itself", [False, True])
def test_a_reply_with_a_draft_is_the_reply_without(tokenizer: Tokenizer, settings: Settings, itself: bool) -> None:
    model = tiny_model(tokenizer)
    smaller = replace(model, transformer=agreeing(model.transformer, 0.01))
    drafter = DraftModel(model=smaller, itself=itself)
    asked = Message(role="user", text="Say that again and again and again and again, please.")
    plain, drafted = Engine(model), drafting(model, drafter)
    first, second = answer(plain, (asked,), settings), answer(drafted, (asked,), settings)
    assert [step.prediction for step in second.steps] == [step.prediction for step in first.steps]
    assert [(step.id, step.drawn) for step in second.steps] == [(step.id, step.drawn) for step in first.steps]
    assert second.finished.right_guesses == sum(step.guessed for step in second.steps) > first.finished.right_guesses
    reply = Message(role="assistant", text=first.finished.text, ids=first.finished.ids)
    more = (asked, reply, Message(role="user", text="And again?"))
    short = replace(settings, max_tokens=30)
    assert answer(drafted, more, short).ids == answer(plain, more, short).ids


def test_a_stop_in_the_middle_leaves_nothing_behind(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer)
    drafter = DraftModel(model=model, itself=True)
    for count in range(1, 12):
        engine = drafting(model, drafter)
        steps: list[TokenRecord] = []
        for event in engine.reply(HELLO, lambda: PLAIN, lambda: len(steps) == count):  # noqa: B023 - asked at once
            if isinstance(event, TokenRecord):
                steps.append(event)
        assert [step.id for step in steps] == answer(Engine(model)).ids[:count]
        hot = replace(PLAIN, seed=9, temperature=1.5)
        assert answer(engine, HELLO, hot).ids == answer(Engine(model), HELLO, hot).ids


def test_another_look_at_a_token_is_the_same_with_a_draft(model: Model) -> None:
    engine = drafting(model, DraftModel(model=model))
    said = answer(engine)
    for step in said.steps[:-1]:
        chosen, drawn, prediction = engine.inspect(step.position, PLAIN)
        assert (chosen, drawn, prediction) == (step.id, step.drawn, step.prediction)
    assert [b.position - a.position for a, b in pairwise(said.steps)] == [1] * 23


def test_in_torch_a_draft_is_not_used(model: Model) -> None:
    with patch("core.backends.native.fallback_reason", return_value="it was not built"):
        engine = Engine(model, draft=DraftModel(model=model))
        said = answer(engine)
    assert said.finished.guesses == 0
    assert said.ids == answer(Engine(model, speculate=False)).ids
