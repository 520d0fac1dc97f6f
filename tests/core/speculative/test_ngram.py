"""Guesses are right where they can be, and change nothing but the time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.config import ModelConfig
from core.decoding.decoder import Decoder
from core.native import bindings as native
from core.speculative.ngram import PromptLookup
from core.transformer import Transformer
from tests.core.support.native_models import LONG, quantize_model
from tests.core.support.transformers import SMALL
from tests.support.decoders import decoder_of

CPU = torch.device("cpu")
REPEATS = [5, 6, 7, 8, 9, 10, 11, 12] * 4


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def followed_by(ids: list[int], most: int) -> list[int]:
    """What came after the last earlier place of the last three tokens, looked for from the end to the beginning."""
    for after in range(len(ids) - 1, 2, -1):
        if ids[after - 3 : after] == ids[-3:]:
            return ids[after : after + most]
    return []


@given(ids=st.lists(st.integers(0, 3), max_size=60), most=st.integers(1, 7))
def test_a_guess_is_what_followed_the_last_time(ids: list[int], most: int) -> None:
    lookup = PromptLookup(most)
    assert lookup.propose(ids, most) == followed_by(ids, min(most, 3))


@given(first=st.lists(st.integers(0, 2), max_size=40), cut=st.integers(0, 40), more=st.lists(st.integers(0, 2)))
def test_after_a_cut_no_guess_comes_from_what_was_cut(first: list[int], cut: int, more: list[int]) -> None:
    lookup = PromptLookup(3)
    lookup.propose(first, 3)
    now = first[:cut] + more
    guess = lookup.propose(now, 3)
    places = [now[n : n + 3] for n in range(3, len(now)) if now[n - 3 : n] == now[-3:]]
    assert not guess or guess in places


def test_guesses_grow_while_they_are_right() -> None:
    lookup = PromptLookup(7)
    assert len(lookup.propose(REPEATS, 7)) == 3
    for right, guessed, next_time in ((3, 3, 6), (6, 6, 7), (0, 7, 1), (1, 1, 2), (2, 2, 4), (2, 4, 2)):
        lookup.record_acceptance(right, guessed)
        assert len(lookup.propose(REPEATS, 7)) == next_time


def logits_of(decoder: Decoder, ids: list[int]) -> np.ndarray:
    return np.stack([decoder.decode_one(token) for token in ids])


@pytest.mark.skipif(native.library() is None, reason="the C library is not built")
@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8", "int4"])
def test_no_bit_of_any_logit_changes(kind: str, target: str) -> None:
    """Whether a token is read alone, or guessed and read with others, rightly or wrongly."""
    dtype = torch.float32 if kind == "float32" else torch.bfloat16
    transformer = Transformer(SMALL).to(dtype).eval()
    if kind in ("int8", "int4"):
        quantize_model(transformer, kind)
    ids = [*REPEATS, 5, 6, 7, 1, 2, 3, 5, 6, 7, 8, 9, 99, *REPEATS]
    plain = decoder_of(transformer, device=CPU, dtype=dtype)
    guessing = decoder_of(transformer, device=CPU, dtype=dtype, speculate=True)
    assert np.array_equal(logits_of(plain, ids), logits_of(guessing, ids))
    assert plain.lookahead.proposed == 0
    assert 0 < guessing.lookahead.accepted < guessing.lookahead.proposed
    for decoder in (plain, guessing):
        decoder.rewind(30)  # in the middle of a guess, for one of them
    more = [10, 11, 12, 5, 6, 7, 8, 1]
    assert np.array_equal(logits_of(plain, more), logits_of(guessing, more))
    assert plain.ids == guessing.ids
    for decoder in (plain, guessing):
        list(decoder.prefill([3] * 20))
    assert np.array_equal(plain.logits(57), guessing.logits(57))


@pytest.mark.skipif(native.library() is None, reason="the C library is not built")
@pytest.mark.parametrize("config", [SMALL, LONG])
def test_a_guess_never_goes_beyond_the_context_or_makes_a_text_long(config: ModelConfig) -> None:
    limit = len(REPEATS)
    short = ModelConfig(**{**vars(config), "context_length": limit})
    transformer = Transformer(short).eval()
    plain = decoder_of(transformer, device=CPU, dtype=torch.float32)
    guessing = decoder_of(transformer, device=CPU, dtype=torch.float32, speculate=True)
    assert np.array_equal(logits_of(plain, REPEATS), logits_of(guessing, REPEATS))
    assert guessing.lookahead.accepted > 0


@pytest.mark.skipif(native.library() is None, reason="the C library is not built")
def test_a_text_that_became_short_again_is_turned_anew_before_anything_is_guessed() -> None:
    transformer = Transformer(LONG).eval()
    decoders = [decoder_of(transformer, device=CPU, dtype=torch.float32, speculate=guess) for guess in (False, True)]
    ids = [1, 2, 3, 4, *range(10, 23), 1, 2, 9, *range(30, 36)]  # more than the 20 of a short text
    for decoder in decoders:
        logits_of(decoder, ids)
        decoder.rewind(19)  # so 3 comes after 1, 2, as at the beginning, where 4, 10, 11 followed
    plain, guessing = (decoder.decode_one(3) for decoder in decoders)
    assert np.array_equal(plain, guessing)


def test_without_the_library_nothing_is_guessed() -> None:
    decoder = decoder_of(Transformer(SMALL).eval(), device=CPU, dtype=torch.float32, eager=True, speculate=True)
    logits_of(decoder, REPEATS)
    assert decoder.lookahead.proposed == 0
