"""Many tokens read at once in C: against exact numbers, against the step, and against itself cut in other ways."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from threading import Barrier

import pytest
import torch
from torch import Tensor

from core.backends.native import NativeBackend, can_prefill
from core.config import ModelConfig, RopeConfig
from core.kv_cache import KVCache
from core.native import bindings as native
from core.native.bindings import MAX_PREFILL_TOKENS, MAX_STEP_TOKENS
from core.transformer import Transformer
from tests.core.support.native_models import (
    CPU,
    LONG,
    ODD,
    cache_of,
    exactly,
    model,
    quantize_model,
    some_ids,
    using,
    without_gradients,
)
from tests.core.support.transformers import CONFIGS, SMALL
from tests.support.decoders import decoder_of

BF16 = torch.bfloat16
ALL = {name: config for name, config in (CONFIGS | ODD).items() if not config.expert_layers} | {
    "wide": replace(SMALL, d_model=96, d_head=80, n_heads=3, n_kv_heads=1, d_ff=100, qkv_bias=True),
    "whole steps": replace(SMALL, d_model=64, d_head=32, d_ff=96, qk_norm=True),
    "many heads to a key": replace(SMALL, n_heads=20, n_kv_heads=2, attention_softcap=1.5),
    "odd, half rope": replace(SMALL, d_model=50, d_head=10, d_ff=37, rope=RopeConfig(width=4), qk_norm=True),
}
QUANTISED = replace(SMALL, d_model=64, d_head=16, d_ff=96, mlp_bias=True)
GARBAGE = -1  # as bits: a number that is none

pytestmark = pytest.mark.skipif(native.library() is None, reason="the C library is not built")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    yield from without_gradients()


@pytest.fixture(params=("amx", "avx512"))
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """The instructions that the library uses."""
    yield from using(request.param)


def halves(name: str) -> Transformer:
    return model(ALL[name], BF16)


def kind_of(kind: str) -> Transformer:
    transformer = model(QUANTISED, BF16)
    if kind != "bfloat16":
        quantize_model(transformer, kind)
    return transformer


def filled_with_garbage(config: ModelConfig) -> KVCache:
    """An empty cache in memory that holds no numbers."""
    cache = cache_of(config, BF16)
    for slab in (cache.keys, cache.values):
        slab.view(torch.int16).fill_(GARBAGE)
    return cache


def parts(ids: list[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Cut into such sizes, again and again."""
    at = 0
    for size in cycle(sizes):
        if at >= len(ids):
            return
        yield ids[at : at + size]
        at += size


def read(
    transformer: Transformer, ids: list[int], sizes: Sequence[int] = (MAX_PREFILL_TOKENS,), *, n_threads: int = 2
) -> tuple[Tensor, KVCache]:
    """Hidden states (len(ids), d_model)."""
    backend = NativeBackend(transformer, dtype=BF16, n_threads=n_threads)
    assert can_prefill(transformer, BF16)
    cache, hidden = filled_with_garbage(transformer.config), []
    for part in parts(ids, sizes):
        hidden.append(torch.empty(len(part), transformer.config.d_model, dtype=BF16))
        backend.prefill_pass(part, cache, hidden[-1])
    return torch.cat(hidden), cache


def stepped(transformer: Transformer, ids: list[int]) -> tuple[Tensor, KVCache]:
    backend = NativeBackend(transformer, dtype=BF16, n_threads=2)
    cache, hidden = cache_of(transformer.config, BF16), torch.empty(len(ids), transformer.config.d_model, dtype=BF16)
    for at in range(0, len(ids), MAX_STEP_TOKENS):
        backend.forward(ids[at : at + MAX_STEP_TOKENS], cache, hidden[at : at + MAX_STEP_TOKENS])
    return hidden, cache


def in_torch(transformer: Transformer, ids: list[int], dtype: torch.dtype = BF16) -> Tensor:
    hidden: Tensor = transformer(torch.tensor([ids]), cache_of(transformer.config, dtype))[0]
    return hidden


def stored(cache: KVCache) -> Tensor:
    """Keys and values that are filled."""
    return torch.stack((cache.keys, cache.values))[:, :, 0, :, : cache.length].clone()


def assert_same_bits(one: tuple[Tensor, KVCache], other: tuple[Tensor, KVCache]) -> None:
    for a, b in ((one[0], other[0]), (stored(one[1]), stored(other[1]))):
        assert torch.equal(a.view(torch.int16), b.view(torch.int16))


def assert_near(ours: Tensor, theirs: Tensor) -> None:
    """Both are rounded to bfloat16 along the way."""
    assert (ours.float() - theirs.float()).std() < 0.02 * theirs.float().std()


# --- the numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_arrangement_is_closer_to_the_truth_than_torch(name: str, target: str) -> None:
    transformer, ids = halves(name), some_ids(ALL[name], 150)
    truth = in_torch(exactly(transformer), ids, torch.float64)
    ours, cache = read(transformer, ids)
    theirs = in_torch(transformer, ids)
    assert 0 < (ours - truth).abs().mean() <= (theirs - truth).abs().mean()
    by_steps, steps_cache = stepped(transformer, ids)
    assert_near(ours, by_steps)
    assert_near(stored(cache), stored(steps_cache))
    assert cache.length == 150


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_quantised_weights_are_closer_to_the_truth_than_in_torch(kind: str, target: str) -> None:
    """The truth is what the same packed numbers give in float64."""
    transformer, ids = kind_of(kind), some_ids(QUANTISED, 150)
    truth = in_torch(exactly(transformer), ids, torch.float64)
    ours, _ = read(transformer, ids)
    assert 0 < (ours - truth).abs().mean() <= (in_torch(transformer, ids) - truth).abs().mean()


@pytest.mark.parametrize("length", [1, 9, 15, 16, 17, 63, 64, 65, 129, 512])
def test_texts_of_any_length(length: int, target: str) -> None:
    transformer, ids = halves("plain"), some_ids(SMALL, length)
    truth = in_torch(exactly(transformer), ids, torch.float64)
    ours, _ = read(transformer, ids)
    assert (ours - truth).abs().mean() <= (in_torch(transformer, ids) - truth).abs().mean()
    assert (ours - truth).abs().max() < 0.1


@pytest.mark.parametrize("window", [1, 2, 15, 16, 17, 63, 64, 65, 100])
def test_windows_of_any_width(window: int, target: str) -> None:
    transformer = model(replace(SMALL, window=window, windowed_layers=frozenset({0, 2})), BF16)
    ids = some_ids(SMALL, 200)
    truth = in_torch(exactly(transformer), ids, torch.float64)
    ours = read(transformer, ids)
    assert (ours[0] - truth).abs().mean() <= (in_torch(transformer, ids) - truth).abs().mean()
    assert_same_bits(read(transformer, ids, (7, 30, 1)), ours)


def test_matrix_instructions_and_vectors_give_nearly_the_same() -> None:
    transformer, ids = halves("plain"), some_ids(SMALL, 100)
    hidden = []
    for name in ("amx", "avx512"):
        for _ in using(name):
            hidden.append(read(transformer, ids)[0])
    assert_near(*hidden)


# --- the same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["bfloat16", "int8", "int4"])
def test_the_number_of_threads_changes_no_bit(kind: str, target: str) -> None:
    transformer, ids = kind_of(kind), some_ids(QUANTISED, 150)
    alone = read(transformer, ids, n_threads=1)
    for n_threads in (2, 3, 7):
        assert_same_bits(read(transformer, ids, n_threads=n_threads), alone)


@pytest.mark.parametrize("kind", ["bfloat16", "int8", "int4", "odd sizes", "wide heads", "some windows"])
def test_it_changes_no_bit_how_a_text_is_cut(kind: str, target: str) -> None:
    transformer = halves(kind) if kind in ALL else kind_of(kind)
    ids = some_ids(transformer.config, 200)
    whole = read(transformer, ids)
    for sizes in [(1,), (13, 187), (16,), (199, 1), (3, 17, 33, 64, 5), (65, 63)]:
        assert_same_bits(read(transformer, ids, sizes), whole)


def test_a_whole_pass_twice_and_after_a_wider_one(target: str) -> None:
    """Nothing is left behind in the memory that passes share."""
    transformer, ids = halves("odd sizes"), some_ids(ALL["odd sizes"], 512)
    backend, first = NativeBackend(transformer, dtype=BF16, n_threads=2), read(transformer, ids[:21])
    for count in (512, 21):
        cache, hidden = filled_with_garbage(transformer.config), torch.empty(count, 50, dtype=BF16)
        backend.prefill_pass(ids[:count], cache, hidden)
    assert_same_bits((hidden, cache), first)


def test_what_lies_in_positions_that_are_not_filled_changes_no_bit(target: str) -> None:
    """`read` begins in memory full of NaN; here with zeros, and with NaN after what was taken back."""
    for name in ("plain", "whole steps", "some windows"):
        transformer, ids = halves(name), some_ids(ALL[name], 100)
        backend, cache = NativeBackend(transformer, dtype=BF16, n_threads=2), cache_of(transformer.config, BF16)
        hidden = torch.empty(100, transformer.config.d_model, dtype=BF16)
        for slab in (cache.keys, cache.values):
            slab.zero_()
        backend.prefill_pass(ids, cache, hidden)
        cache.rewind(40)
        for slab in (cache.keys, cache.values):
            slab.view(torch.int16)[:, :, :, 40:].fill_(GARBAGE)
        backend.prefill_pass(ids[40:], cache, hidden[40:])
        assert_same_bits((hidden, cache), read(transformer, ids))


# --- one cache --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "odd sizes", "some windows", "learned positions"])
def test_steps_passes_and_torch_share_one_cache(name: str, target: str) -> None:
    transformer = halves(name)
    backend, cache = NativeBackend(transformer, dtype=BF16, n_threads=2), cache_of(transformer.config, BF16)
    ids = some_ids(transformer.config, 300)  # more than the cache begins with
    hidden = torch.empty(300, transformer.config.d_model, dtype=BF16)
    at = 0
    for n, part in enumerate(parts(ids, (37, 5, 21, 64))):
        out = hidden[at : at + len(part)]
        if n % 3 == 0:
            backend.prefill_pass(part, cache, out)
        elif n % 3 == 1:
            out[:] = transformer(torch.tensor([part]), cache)[0]
        else:
            for place, one in enumerate(part):
                backend.forward([one], cache, out[place : place + 1])
        at += len(part)
    assert_near(hidden, stepped(transformer, ids)[0])
    cache.rewind(120)
    again = torch.empty(30, transformer.config.d_model, dtype=BF16)
    backend.prefill_pass(ids[120:150], cache, again)
    assert_near(again, hidden[120:150])


@pytest.mark.parametrize("limit", [20, 77, 130])
def test_a_context_is_filled_to_its_last_position(limit: int, target: str) -> None:
    for d_head in (32, 8):  # read where it lies, and copied
        transformer = model(replace(SMALL, context_length=limit, d_head=d_head), BF16)
        ids = some_ids(SMALL, limit)
        ours = read(transformer, ids)
        assert ours[1].capacity == limit
        assert_same_bits(read(transformer, ids, (limit - 1, 1)), ours)
        assert_near(ours[0], stepped(transformer, ids)[0])


def test_a_text_that_becomes_long_is_turned_anew(target: str) -> None:
    transformer = model(LONG, BF16)
    ids = some_ids(LONG, 50)
    ours = decoder_of(transformer, device=CPU, dtype=BF16)
    theirs = decoder_of(transformer, device=CPU, dtype=BF16, eager=True)
    for start, count in ((0, 12), (12, 30), (30, 50)):
        for one in (ours, theirs):
            list(one.prefill(ids[start:count]))
        assert_near(*(torch.from_numpy(one.logits(count - 1)) for one in (ours, theirs)))
    backend, cache, hidden = (
        NativeBackend(transformer, dtype=BF16, n_threads=1),
        cache_of(LONG, BF16),
        torch.empty(30, 32),
    )
    backend.prefill_pass(ids[:15], cache, hidden[:15].to(BF16))
    cache.text_length = 30
    with pytest.raises(ValueError, match="15 positions were read as a short text"):
        backend.prefill_pass(ids[:15], cache, hidden[:15].to(BF16))


# --- what is no number ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
@pytest.mark.parametrize("where", ["norm.weight", "blocks.1.attention_norm.weight", "blocks.1.feed_forward.up.weight"])
def test_a_weight_that_is_no_number_is_noticed_in_every_token(where: str, odd: float, target: str) -> None:
    transformer = model(SMALL, BF16)
    transformer.get_parameter(where).view(-1)[3] = odd
    hidden, _ = read(transformer, some_ids(SMALL, 70))
    assert not hidden.isfinite().all(-1).any()


@pytest.mark.parametrize("odd", [torch.nan, torch.inf])
@pytest.mark.parametrize("window", [0, 20])
def test_a_token_that_is_no_number_harms_those_alone_that_see_it(window: int, odd: float, target: str) -> None:
    """However the text is cut."""
    config = replace(SMALL, n_layers=1, window=window, windowed_layers=frozenset({0} if window else ()))
    transformer = model(config, BF16)
    transformer.embedding.weight[100, 3] = odd
    ids = torch.randint(0, 100, (150,)).tolist()
    clean = read(transformer, ids)[0]
    ids[70] = 100
    hidden, cache = read(transformer, ids)
    harmed = [70 <= position < (70 + window if window else 150) for position in range(150)]
    assert hidden.isfinite().all(-1).tolist() == [not one for one in harmed]
    untouched = ~torch.tensor(harmed)
    assert torch.equal(hidden[untouched], clean[untouched])
    assert_same_bits(read(transformer, ids, (13, 40, 18)), (hidden, cache))
    assert stepped(transformer, ids)[0].isfinite().all(-1).tolist() == [not one for one in harmed]


# --- who reads what ---------------------------------------------------------------------------------------------------


def test_what_would_crash_in_c_is_refused_before(target: str) -> None:
    config = replace(SMALL, context_length=30)
    backend, cache = NativeBackend(model(config, BF16), dtype=BF16, n_threads=1), cache_of(config, BF16)
    for ids in ([], [1] * (MAX_PREFILL_TOKENS + 1), [1] * 9 + [-1], [1] * 9 + [config.vocab_size], [10**9]):
        with pytest.raises(ValueError, match="a step takes 1 to 512 tokens below 101"):
            backend.prefill_pass(ids, cache, torch.empty(len(ids), config.d_model, dtype=BF16))
    with pytest.raises(ValueError, match="31 positions do not fit in a context of 30"):
        backend.prefill_pass([1] * 31, cache, torch.empty(31, config.d_model, dtype=BF16))
    for wrong in (torch.empty(9, config.d_model), torch.empty(8, config.d_model, dtype=BF16)):
        with pytest.raises(ValueError, match="hidden states"):
            backend.prefill_pass([1] * 9, cache, wrong)
    assert cache.length == 0


def test_it_is_for_halves_without_experts_and_even_heads(target: str) -> None:
    assert can_prefill(model(SMALL, BF16), BF16)
    assert not can_prefill(model(SMALL, torch.float32), torch.float32)
    assert not can_prefill(model(CONFIGS["experts"], BF16), BF16)
    assert not can_prefill(model(replace(SMALL, d_head=5, rope=RopeConfig(width=4)), BF16), BF16)
    mixed = model(SMALL, BF16)
    mixed.head.float()  # tied to the embedding
    assert not can_prefill(mixed, BF16)


@pytest.mark.parametrize("other", ["avx2", "generic"])
def test_other_instructions_read_few_tokens_or_leave_it_to_torch(other: str) -> None:
    for _ in using(other):
        transformer, ids = model(SMALL, BF16), some_ids(SMALL, 40)
        assert not can_prefill(transformer, BF16)
        decoders = [decoder_of(transformer, device=CPU, dtype=BF16, eager=eager) for eager in (False, True)]
        for decoder in decoders:
            assert list(decoder.prefill(ids)) == [40]
        hidden = [decoder._runner._hidden[:40] for decoder in decoders]
        assert torch.equal(*hidden)


@pytest.mark.parametrize("count", [8, 9, 200])
@pytest.mark.parametrize("kind", ["bfloat16", "int8"])
def test_a_prompt_is_read_at_once_if_it_is_no_step(kind: str, count: int, target: str) -> None:
    transformer, ids = kind_of(kind), some_ids(QUANTISED, count)
    decoder = decoder_of(transformer, device=CPU, dtype=BF16)
    list(decoder.prefill(ids))
    expected = stepped(transformer, ids) if count <= MAX_STEP_TOKENS else read(transformer, ids)
    assert torch.equal(decoder._runner._hidden[:count], expected[0])


def test_few_tokens_are_read_with_vectors_where_there_are_matrix_instructions() -> None:
    transformer, ids = halves("plain"), some_ids(SMALL, 30)
    both = []
    for name in ("amx", "avx512"):
        for _ in using(name):
            both.append(stepped(transformer, ids))
    assert_same_bits(*both)


def test_two_threads_of_python_may_read_at_once(target: str) -> None:
    """The memory for it is taken by whoever comes first."""
    transformer, ids = halves("plain"), some_ids(SMALL, 40)
    expected, together = read(transformer, ids), Barrier(2)

    def read_once(backend: NativeBackend) -> tuple[Tensor, KVCache]:
        cache, hidden = cache_of(SMALL, BF16), torch.empty(40, SMALL.d_model, dtype=BF16)
        together.wait()
        with torch.inference_mode():
            backend.prefill_pass(ids, cache, hidden)
        return hidden, cache

    with ThreadPoolExecutor(2) as threads:
        for _ in range(20):
            backend = NativeBackend(transformer, dtype=BF16, n_threads=3)
            for one in threads.map(read_once, (backend, backend)):
                assert_same_bits(one, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_of_this_process_may_use_matrix_instructions_too() -> None:
    transformer, ids = halves("plain"), some_ids(SMALL, 40)
    for _ in using("amx"):
        expected, _ = read(transformer, ids)
        child = os.fork()
        if child == 0:
            os._exit(0 if torch.equal(read(transformer, ids)[0], expected) else 1)
        assert os.waitpid(child, 0)[1] == 0
