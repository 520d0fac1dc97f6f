"""The step that is recorded for a GPU, replayed on the CPU: against the ordinary transformer, whatever happens to the
cache in between; and what becomes of it when recording fails or lies."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock, create_autospec

import numpy as np
import pytest
import torch

from core.backends.cuda_graph.bandwidth import read_bandwidth
from core.backends.cuda_graph.capture import CudaCapturer
from core.backends.cuda_graph.static_forward import MIN_BUCKET, bucket_of, unsupported_reason
from core.config import ModelConfig, RopeConfig
from core.decoding.decoder import Decoder
from core.decoding.model_runner import ModelRunner
from core.errors import OutOfMemory
from core.kv_cache import KVCache
from core.transformer import Transformer
from tests.core.support.recorders import CPU, Again, Lies, Refuses, Stale, step_of, written
from tests.core.support.transformers import CONFIGS, SMALL, assert_same, new_cache, random_transformer, some_tokens
from tests.support.decoders import decoder_of

FIXED = {name: config for name, config in CONFIGS.items() if not config.expert_layers}
LONG = dataclasses.replace(
    SMALL,
    rope=RopeConfig(
        scaling="longrope", original_context=20, short_factors=(1.0, 1.2, 1.5, 2.0), long_factors=(2.0,) * 4
    ),
)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def spoiled(transformer: Transformer) -> KVCache:
    """A cache in memory that was used for something else."""
    cache = new_cache(transformer)
    cache.keys.fill_(torch.nan)
    cache.values.fill_(torch.nan)
    return cache


# --- the same numbers as the ordinary transformer ---------------------------------------------------------------------


@pytest.mark.parametrize("read", [0, 1, 20, MIN_BUCKET - 3])
@pytest.mark.parametrize("name", FIXED)
def test_a_step_is_the_ordinary_pass(name: str, read: int) -> None:
    """From an empty text on, in the middle, and across the end of the first bucket, where the cache grows and moves."""
    transformer, capturer, tokens = random_transformer(FIXED[name]), Again(), some_tokens(read + 9)
    backend, cache = step_of(transformer, capturer), spoiled(transformer)
    if read:
        transformer(tokens[:, :read], cache)
    hidden, logits = written(backend, cache, tokens[:, read:])
    expected = transformer(tokens)[0, read:]
    assert_same(hidden, expected)
    assert_same(logits, transformer.unembed(expected))
    assert backend.fallback_reason is None
    assert capturer.replays > 9, "the ordinary pass has done it all"


@pytest.mark.parametrize("name", FIXED)
def test_rewound_and_led_elsewhere(name: str) -> None:
    transformer, first, second = random_transformer(FIXED[name]), some_tokens(25), some_tokens(12, seed=2)
    backend, cache = step_of(transformer, Again()), spoiled(transformer)
    written(backend, cache, first)
    for kept in (24, 10, 1, 0):
        cache.rewind(kept)
        transformer(second[:, :4], cache)  # a prompt, read in the ordinary way
        hidden, _ = written(backend, cache, second[:, 4:])
        assert_same(hidden, transformer(torch.cat((first[:, :kept], second), dim=1))[0, kept + 4 :])
        cache.rewind(kept)
    assert backend.fallback_reason is None


def test_what_stands_behind_the_text_is_not_seen_whatever_it_is() -> None:
    for value in (torch.nan, torch.inf, 1e30):
        transformer, tokens = random_transformer(SMALL), some_tokens(40)
        backend, cache = step_of(transformer, Again()), new_cache(transformer)
        written(backend, cache, tokens[:, :1])
        transformer(tokens[:, 1:], cache)
        cache.rewind(30)
        cache.keys[:, :, :, 30:] = value
        cache.values[:, :, :, 30:] = value
        assert_same(written(backend, cache, tokens[:, 30:])[0], transformer(tokens)[0, 30:])


def test_a_bucket_is_recorded_once_until_the_cache_moves() -> None:
    config = dataclasses.replace(SMALL, context_length=1100)
    transformer, capturer, tokens = random_transformer(config), Again(), some_tokens(1100)
    backend, cache = step_of(transformer, capturer), new_cache(transformer)
    seen = []
    for start in (0, 250, 254, 256, 510, 511, 512, 700, 1020, 1023, 1024, 1098):
        if start > cache.length:
            transformer(tokens[:, cache.length : start], cache)
        written(backend, cache, tokens[:, start : start + 1])
        seen.append((cache.capacity, capturer.captures))
    first, second = (256, 2), (512, 4)  # a pass and an unembedding each
    assert seen[:6] == [first, first, first, second, second, second]
    assert [capacity for capacity, _ in seen[6:]] == [1024] * 4 + [1100] * 2
    assert {count for _, count in seen[6:10]} == {6}
    cache.rewind(100)  # the cache stays where it is, and a short text looks at a part of it
    hidden, _ = written(backend, cache, tokens[:, 100:103])
    assert_same(hidden, transformer(tokens[:, :103])[0, 100:])


def test_a_rewind_into_a_smaller_bucket_and_back_records_nothing_anew() -> None:
    transformer, capturer, tokens = random_transformer(SMALL), Again(), some_tokens(310)
    backend, cache = step_of(transformer, capturer), new_cache(transformer)
    transformer(tokens[:, :300], cache)
    written(backend, cache, tokens[:, 300:303])
    cache.rewind(200)
    assert_same(written(backend, cache, tokens[:, 200:203])[0], transformer(tokens[:, :203])[0, 200:])
    assert capturer.captures == 3  # two passes, one unembedding
    transformer(tokens[:, 203:303], cache)
    assert_same(written(backend, cache, tokens[:, 303:])[0], transformer(tokens)[0, 303:])
    assert capturer.captures == 3


def test_another_cache_of_the_same_size_is_not_taken_for_the_first() -> None:
    transformer, capturer, tokens = random_transformer(SMALL), Again(), some_tokens(20)
    backend = step_of(transformer, capturer)
    caches = [new_cache(transformer) for _ in range(2)]
    for n in range(20):
        for cache in caches:
            hidden, _ = written(backend, cache, tokens[:, n : n + 1])
    assert_same(hidden, transformer(tokens)[0, 19:])


def test_the_steps_of_a_bucket() -> None:
    assert [bucket_of(n, 5000) for n in (1, 256, 257, 512, 513, 4096, 4097, 5000)] == [
        *(256, 256, 512, 512, 1024, 4096, 5000, 5000)
    ]
    assert bucket_of(3, 40) == 40


def test_the_whole_context_and_one_too_many() -> None:
    transformer = random_transformer(dataclasses.replace(SMALL, context_length=40))
    tokens = some_tokens(40)
    backend, cache = step_of(transformer, Again()), new_cache(transformer)
    assert_same(written(backend, cache, tokens)[0], transformer(tokens)[0])
    with pytest.raises(ValueError, match="41 positions do not fit in a context of 40"):
        written(backend, cache, tokens[:, :1])
    assert cache.length == 40


@pytest.mark.parametrize("ids", [[], [1, 2], [-1], [SMALL.vocab_size]])
def test_what_is_no_token(ids: list[int]) -> None:
    transformer = random_transformer(SMALL)
    backend, cache = step_of(transformer, Again()), new_cache(transformer)
    with pytest.raises(ValueError, match="a step takes one token below 101"):
        backend.forward(ids, cache, torch.empty(1, SMALL.d_model))
    assert cache.length == 0


@pytest.mark.parametrize("name", FIXED)
def test_in_16_bits_it_is_as_near_to_the_truth_as_the_ordinary_pass(name: str) -> None:
    exact, rough = random_transformer(FIXED[name]), random_transformer(FIXED[name])
    for parameter in rough.parameters():
        parameter.data = parameter.data.bfloat16()
    tokens, errors = some_tokens(30), []
    cache = KVCache(rough.config, device=CPU, dtype=torch.bfloat16)
    backend = step_of(rough, Again(), dtype=torch.bfloat16)
    hidden, _ = written(backend, cache, tokens)
    cache.rewind(0)
    eager = torch.cat([rough(tokens[:, n : n + 1], cache)[0] for n in range(30)])
    for found in (hidden, eager):
        errors.append((found.float() - exact(tokens)[0]).square().mean().sqrt().item())
    assert backend.fallback_reason is None
    assert errors[0] < 1.2 * errors[1] + 1e-3


def test_experts_are_chosen_and_cannot_be_recorded() -> None:
    assert "experts" in (unsupported_reason(random_transformer(CONFIGS["experts"])) or "")
    assert all(unsupported_reason(random_transformer(config)) is None for config in FIXED.values())


# --- in the decoder ---------------------------------------------------------------------------------------------------


def decoder_on_graph(transformer: Transformer, capturer: Again) -> Decoder:
    """A decoder that believes it is on a GPU."""
    return Decoder(ModelRunner(step_of(transformer, capturer)))


@pytest.mark.parametrize("config", [SMALL, LONG, FIXED["some windows"]])
def test_a_decoder_on_a_graph_is_a_decoder_without_one(config: ModelConfig) -> None:
    """A prompt, tokens, a fork, tokens across the ends of buckets, and across the length where positions turn anew."""
    transformer, capturer = random_transformer(config), Again()
    ours = decoder_on_graph(transformer, capturer)
    theirs = decoder_of(transformer, device=CPU, dtype=torch.float32, eager=True)
    ids = some_tokens(560)[0].tolist()
    assert (ours.backend.name, theirs.backend.name) == ("CUDA graph", "torch")
    for decoder in (ours, theirs):
        list(decoder.prefill(ids[:15]))
    for prompt, until in ((0, 40), (235, 270), (505, 520)):
        for decoder in (ours, theirs):
            list(decoder.prefill(ids[len(decoder.ids) : max(prompt, len(decoder.ids))]))
        for token in ids[len(ours.ids) : until]:
            np.testing.assert_allclose(ours.decode_one(token), theirs.decode_one(token), rtol=1e-4, atol=1e-4)
    for length in (400, 18, 12):
        for decoder in (ours, theirs):
            decoder.rewind(length)
        for token in ids[100:112]:
            np.testing.assert_allclose(ours.decode_one(token), theirs.decode_one(token), rtol=1e-4, atol=1e-4)
        for position in range(length):
            np.testing.assert_allclose(ours.logits(position), theirs.logits(position), rtol=1e-4, atol=1e-4)
    assert ours.backend.fallback_reason is None
    assert capturer.replays > 60


def test_trying_it_out_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    capturer = Again()
    decoder = decoder_on_graph(random_transformer(SMALL), capturer)
    assert (decoder.ids, decoder._runner.length, capturer.captures) == ([], 0, 2)


@pytest.mark.parametrize("capturer", [Refuses(), Lies()])
def test_why_there_is_no_graph_is_known_before_the_first_token(
    capturer: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = decoder_on_graph(random_transformer(SMALL), capturer)
    assert decoder.backend.fallback_reason is not None
    assert decoder.backend.name == "torch"


def test_without_memory_for_the_trial_the_decoder_says_so_when_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    transformer = random_transformer(SMALL)

    def no_room(*_: Any) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(transformer.blocks[1], "forward", no_room)
    decoder = decoder_on_graph(transformer, Again())
    with pytest.raises(OutOfMemory, match="1 tokens"):
        decoder.decode_one(5)
    assert decoder.ids == []


# --- it is not believed unseen ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("capturer", "why"),
    [
        (Refuses(), r"^RuntimeError: operation not permitted when stream is capturing$"),
        (Refuses(after=1), "RuntimeError"),
        (Refuses(after=2), "RuntimeError"),
        (Lies(), r"^its numbers were \d+% from those of the ordinary pass$"),
    ],
)
def test_what_fails_or_lies_is_told_and_the_ordinary_pass_goes_on(capturer: Again, why: str) -> None:
    transformer, tokens = random_transformer(SMALL), some_tokens(MIN_BUCKET + 8)
    backend, cache = step_of(transformer, capturer), spoiled(transformer)
    read = MIN_BUCKET - 4
    transformer(tokens[:, :read], cache)
    hidden, logits = written(backend, cache, tokens[:, read:])
    assert_same(hidden, transformer(tokens)[0, read:])
    assert_same(logits, transformer.unembed(hidden))
    assert re.search(why, backend.fallback_reason or "")


def test_a_broken_model_is_not_the_graphs_fault() -> None:
    """Not a number on both sides: nothing can be compared, so the ordinary pass goes on, and the decoder complains."""
    transformer = random_transformer(SMALL)
    transformer.norm.weight.fill_(torch.nan)
    backend, cache = step_of(transformer, Again()), new_cache(transformer)
    hidden, _ = written(backend, cache, some_tokens(3))
    assert hidden.isnan().all()
    assert backend.fallback_reason is not None


def test_tokens_that_a_model_rules_out_are_no_difference() -> None:
    transformer = random_transformer(dataclasses.replace(SMALL, head_bias=True))
    transformer.head.bias[5] = -torch.inf
    backend, cache = step_of(transformer, Again()), new_cache(transformer)
    _, logits = written(backend, cache, some_tokens(3))
    assert backend.fallback_reason is None
    assert (logits[:, 5] == -torch.inf).all()


def test_the_recorders_here_can_be_told_from_one_that_works() -> None:
    """If positions, tokens and hidden states were not where the recording looks for them, the tests above would see."""
    transformer, tokens = random_transformer(SMALL), some_tokens(6)
    backend, cache = step_of(transformer, Stale()), new_cache(transformer)
    hidden, _ = written(backend, cache, tokens)
    assert backend.fallback_reason is None  # the first token is the one it was recorded with
    assert (hidden - transformer(tokens)[0]).abs().max() > 0.1


# --- what only CUDA can run -------------------------------------------------------------------------------------------


def test_cuda_is_asked_for_what_its_documentation_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Warm-up on another stream, which waits for ours and ours for it; then one recording, with torch's own signature
    ("Graphs" in the notes on CUDA semantics)."""
    said: list[str] = []
    ours, others = MagicMock(), MagicMock()
    ours.wait_stream.side_effect = lambda stream: said.append("ours waits" if stream is others else "?")
    others.wait_stream.side_effect = lambda stream: said.append("other waits" if stream is ours else "?")
    graph = create_autospec(torch.cuda.graph)
    graph.return_value.__enter__.side_effect = lambda *_: said.append("recording")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: others)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: ours)
    monkeypatch.setattr(torch.cuda, "stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", MagicMock())
    monkeypatch.setattr(torch.cuda, "graph", graph)
    replay = CudaCapturer(torch.device("cuda")).capture(lambda: said.append("work"))
    assert said == ["other waits", "work", "work", "work", "ours waits", "recording", "work"]
    recorded = graph.call_args.args[0]
    assert graph.call_args.kwargs == {"stream": others}
    replay()
    recorded.replay.assert_called_once_with()


def test_the_bandwidth_of_a_device_is_a_speed() -> None:
    assert 1e7 < read_bandwidth(1_000_000, CPU, repeat=1) < 1e13
