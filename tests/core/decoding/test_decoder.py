"""One sequence and its cache, against the transformer run over the whole of it at once without one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from core.backends.eager import MAX_PREFILL_TOKENS as CHUNK
from core.backends.eager import prefill_chunk
from core.config import ModelConfig
from core.decoding.decoder import Decoder
from core.engine import decoder_for
from core.errors import BadCheckpoint, ContextFull, OutOfMemory
from core.model import Model
from core.text.tokenizer import Tokenizer
from core.transformer import Transformer
from tests.core.support.native_models import LONG
from tests.support.decoders import decoder_of
from tests.support.tiny import tiny_model

SOME = CHUNK + 170
LIMIT = 2 * CHUNK + 250  # room for two whole chunks and a broken one, and the cache has to grow


@pytest.fixture
def long_model(tokenizer: Tokenizer) -> Model:
    return tiny_model(tokenizer, context_length=LIMIT)


def tokens(count: int, seed: int = 0) -> list[int]:
    ids: list[int] = np.random.default_rng(seed).integers(0, 360, count).tolist()
    return ids


def read(decoder: Decoder, ids: Sequence[int]) -> list[int]:
    return list(decoder.prefill(ids))


@torch.inference_mode()
def at_once(model: Model, ids: Sequence[int]) -> NDArray[np.float32]:
    """Logits (time, vocab) of one pass over everything, without a cache."""
    logits: NDArray[np.float32] = model.transformer.unembed(model.transformer(torch.tensor([ids])))[0].numpy()
    return logits


def assert_close(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 17, LIMIT])
def test_a_prompt_read_in_chunks_is_the_prompt_read_at_once(long_model: Model, count: int) -> None:
    decoder, ids = decoder_for(long_model), tokens(count)
    assert read(decoder, ids) == [*range(CHUNK, count, CHUNK), count]
    assert decoder.ids == ids
    expected = at_once(long_model, ids)
    for position in range(count):  # the hidden state of every position is kept
        assert_close(decoder.logits(position), expected[position])


def test_token_by_token_is_all_at_once(long_model: Model) -> None:
    decoder, ids = decoder_for(long_model), tokens(CHUNK + 20)
    read(decoder, ids[:3])
    expected = at_once(long_model, ids)
    for position in range(3, len(ids)):
        assert_close(decoder.decode_one(ids[position]), expected[position])


@pytest.mark.parametrize("length", [0, 1, 100, CHUNK, CHUNK + 1, SOME - 1, SOME])
def test_rewound_and_led_elsewhere_is_read_afresh(long_model: Model, length: int) -> None:
    decoder = decoder_for(long_model)
    read(decoder, tokens(SOME))
    decoder.rewind(length)
    assert decoder.ids == tokens(SOME)[:length]
    branch = tokens(40, seed=1)
    read(decoder, branch[:-1])
    logits = decoder.decode_one(branch[-1])
    expected = at_once(long_model, tokens(SOME)[:length] + branch)
    assert_close(logits, expected[-1])
    for position in range(length + 40):
        assert_close(decoder.logits(position), expected[position])


def test_what_was_read_stays_when_nobody_asks_for_more(long_model: Model) -> None:
    decoder, ids = decoder_for(long_model), tokens(LIMIT)
    assert next(decoder.prefill(ids)) == CHUNK
    assert decoder.ids == ids[:CHUNK]
    assert read(decoder, ids[CHUNK:]) == [2 * CHUNK, LIMIT]
    assert_close(decoder.logits(LIMIT - 1), at_once(long_model, ids)[-1])


@given(st.lists(st.integers(0, 2), max_size=12), st.lists(st.integers(0, 2), max_size=12))
def test_the_common_beginning_is_kept(model: Model, old: list[int], new: list[int]) -> None:
    decoder = decoder_for(model)
    read(decoder, old)
    common = [a for a, b in takewhile(lambda pair: pair[0] == pair[1], zip(old, new, strict=False))]
    assert decoder.keep_common(new) == len(common)
    assert decoder.ids == common


@pytest.mark.parametrize("position", [-1, 5, 6, 1000])
def test_a_position_that_was_not_read_has_no_logits(model: Model, position: int) -> None:
    decoder = decoder_for(model)
    read(decoder, tokens(6))
    decoder.rewind(5)
    with pytest.raises(ValueError, match=f"position {position} "):
        decoder.logits(position)


def test_a_text_longer_than_the_context_is_refused_before_any_of_it_is_read(long_model: Model) -> None:
    decoder = decoder_for(long_model)
    read(decoder, tokens(10))
    with pytest.raises(ContextFull, match=f"^{LIMIT + 11} tokens do not fit in this model's context of {LIMIT}"):
        read(decoder, tokens(LIMIT + 1))
    assert decoder.ids == tokens(10)
    read(decoder, tokens(LIMIT - 10, seed=2))
    with pytest.raises(ContextFull, match=f"^{LIMIT + 1} tokens"):
        decoder.decode_one(0)
    decoder.rewind(LIMIT - 1)
    decoder.decode_one(0)
    assert len(decoder.ids) == LIMIT == decoder.limit


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["head.weight", "embedding.weight", "blocks.1.feed_forward.down.weight"])
def test_broken_weights_are_said_in_a_sentence(tokenizer: Tokenizer, name: str, broken: float) -> None:
    model = tiny_model(tokenizer)
    with torch.no_grad():
        model.transformer.get_parameter(name).fill_(broken)
    decoder = decoder_for(model)
    read(decoder, tokens(3))
    with pytest.raises(BadCheckpoint, match="position 2"):
        decoder.logits(2)


def test_a_model_may_rule_tokens_out(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer)
    with torch.no_grad():
        assert model.transformer.head.bias is not None
        model.transformer.head.bias[5] = -torch.inf
    decoder = decoder_for(model)
    read(decoder, tokens(3))
    assert decoder.logits(2)[5] == -np.inf


def test_logits_are_float32_whatever_the_model_computes_in(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer)
    expected = at_once(model, tokens(20))
    model.transformer.to(torch.bfloat16)
    decoder = decoder_for(replace(model, dtype=torch.bfloat16))
    read(decoder, tokens(20))
    logits = decoder.logits(19)
    assert logits.dtype == np.float32
    assert np.corrcoef(logits, expected[-1])[0, 1] > 0.99


def test_running_out_of_memory_loses_nothing_that_was_read(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(tokenizer)
    decoder, ids = decoder_for(model), tokens(30)
    read(decoder, ids[:10])
    with monkeypatch.context() as machine:
        machine.setattr(model.transformer.blocks[1], "forward", no_room)
        with pytest.raises(OutOfMemory, match="30 tokens") as caught:
            read(decoder, ids[10:])
    assert "--context" in caught.value.hint
    assert decoder.ids == ids[:10]
    read(decoder, ids[10:])
    assert_close(decoder.logits(29), at_once(model, ids)[-1])


def test_memory_may_run_out_after_the_pass_as_well(long_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the hidden states no longer fit, the keys and values just computed must go, too."""
    decoder, ids = decoder_for(long_model), tokens(10)
    whole = torch.Tensor.new_empty
    with monkeypatch.context() as machine:
        machine.setattr(torch.Tensor, "new_empty", lambda t, *shape: no_room() if len(shape) == 2 else whole(t, *shape))
        with pytest.raises(OutOfMemory, match="10 tokens"):
            read(decoder, ids)
    assert decoder.ids == []
    read(decoder, ids)
    assert_close(decoder.logits(9), at_once(long_model, ids)[-1])


def no_room(*_: Any) -> None:
    raise torch.OutOfMemoryError("no room")


def test_a_token_without_an_embedding_is_named_before_anything_is_read(model: Model) -> None:
    decoder = decoder_for(model)
    with pytest.raises(BadCheckpoint, match="token 360"):
        list(decoder.prefill([1, 360, 2]))
    assert decoder.ids == []


@pytest.mark.parametrize(("layers", "tokens"), [(1, 512), (16, 128)])
def test_a_big_model_reads_shorter_passes(layers: int, tokens: int) -> None:
    """140e9 multiplications in a pass: of 0.19 billion weights for 740 tokens, of 1.24 billion for 113."""
    sizes = {"vocab_size": 64_128, "n_heads": 32, "n_kv_heads": 8, "d_model": 2048, "d_ff": 8192, "d_head": 64}
    with torch.device("meta"):
        model = Transformer(ModelConfig(context_length=4096, n_layers=layers, **sizes))
    assert prefill_chunk(model) == tokens


@pytest.mark.parametrize("eager", [False, True])
def test_a_text_grows_past_its_original_context_as_the_program_reads_it(eager: bool) -> None:
    """Longrope, outside inference mode: nothing here gives the program a context that it does not give itself."""
    torch.manual_seed(0)
    transformer = Transformer(LONG).eval()
    decoder, ids = decoder_of(transformer, eager=eager), [number * 7 % 101 for number in range(34)]
    read(decoder, ids[:12])
    for token_id in ids[12:24]:  # past the 20th, everything is read anew
        decoder.decode_one(token_id)
    read(decoder, ids[24:])
    with torch.inference_mode():
        expected = transformer.unembed(transformer(torch.tensor([ids])))[0, -1].numpy()
    assert_close(decoder.logits(len(ids) - 1), expected)
