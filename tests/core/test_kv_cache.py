"""The cache as a container: what was written is there, up to where it counts, and memory grows in steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from core.config import ModelConfig
from core.kv_cache import GROWTH, KVCache

CONFIG = ModelConfig(
    vocab_size=10, context_length=700, n_layers=2, n_heads=4, n_kv_heads=2, d_model=12, d_head=6, d_ff=8
)


def new_cache() -> KVCache:
    return KVCache(CONFIG, device=torch.device("cpu"), dtype=torch.float32)


def put(cache: KVCache, keys: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Write keys (layers, 1, kv_heads, time, d_head), and their negatives as values, to every layer."""
    time = keys.shape[3]
    cache.reserve(cache.length + time)
    seen = [cache.write(layer, keys[layer], -keys[layer]) for layer in range(CONFIG.n_layers)]
    cache.advance(time)
    return seen


def random_keys(time: int, seed: int = 0) -> Tensor:
    shape = (CONFIG.n_layers, 1, CONFIG.n_kv_heads, time, CONFIG.d_head)
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_memory_grows_in_steps_up_to_the_context() -> None:
    cache = new_cache()
    assert cache.capacity == GROWTH
    for length, capacity in ((1, 256), (256, 256), (257, 512), (300, 512), (513, 700), (700, 700), (5, 700)):
        cache.reserve(length)
        assert cache.capacity == capacity
    # keys and values x layers x key heads x positions x channels x 4 bytes
    assert cache.n_bytes == 2 * 2 * 2 * 700 * 6 * 4


def test_a_short_context_takes_no_more_than_it_needs() -> None:
    short = ModelConfig(
        vocab_size=10, context_length=40, n_layers=1, n_heads=1, n_kv_heads=1, d_model=2, d_head=2, d_ff=2
    )
    assert KVCache(short, device=torch.device("cpu"), dtype=torch.bfloat16).n_bytes == 2 * 40 * 2 * 2


def test_more_than_the_context_does_not_fit() -> None:
    with pytest.raises(ValueError, match="701 positions do not fit in a context of 700"):
        new_cache().reserve(701)


@pytest.mark.parametrize("place", [1, 2])
def test_a_cache_that_cannot_grow_stays_as_it_is(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys that have grown beside values that have not would be believed to be alike, and written behind."""
    cache, asked = new_cache(), []

    def without_memory(*wanted: Any) -> Tensor:
        asked.append(wanted)
        if len(asked) == place:
            raise RuntimeError("not enough memory")
        return torch.empty(wanted[0])

    monkeypatch.setattr("core.kv_cache.in_large_pages", without_memory)
    with pytest.raises(RuntimeError, match="not enough memory"):
        cache.reserve(300)
    assert cache.keys.shape == cache.values.shape
    assert cache.capacity == GROWTH


@pytest.mark.parametrize("length", [-1, 6])
def test_there_is_no_rewinding_to_what_never_was(length: int) -> None:
    cache = new_cache()
    put(cache, random_keys(5))
    with pytest.raises(ValueError, match=f"cannot rewind to {length}: 5 positions are filled"):
        cache.rewind(length)
    assert cache.length == 5


def test_what_is_written_does_not_count_before_it_is_advanced() -> None:
    cache = new_cache()
    put(cache, random_keys(5))
    cache.write(0, random_keys(3, seed=1)[0], random_keys(3, seed=1)[0])
    assert cache.length == 5
    seen = put(cache, random_keys(2, seed=2))
    torch.testing.assert_close(seen[0][0][:, :, 5:], random_keys(2, seed=2)[0], rtol=0, atol=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 250), st.floats(0, 1)), min_size=1, max_size=8))
def test_any_writing_and_rewinding_is_a_list_of_positions(steps: list[tuple[int, float]]) -> None:
    """The model of the cache is a plain tensor that is cut and appended to."""
    cache = new_cache()
    model = random_keys(0)
    for seed, (time, kept) in enumerate(steps):
        if model.shape[3] + time <= CONFIG.context_length:
            keys = random_keys(time, seed)
            model = torch.cat((model, keys), dim=3)
            for layer, (k, v) in enumerate(put(cache, keys)):
                assert torch.equal(k, model[layer])
                assert torch.equal(v, -model[layer])
        length = int(kept * cache.length)
        cache.rewind(length)
        model = model[:, :, :, :length]
        assert cache.length == length
