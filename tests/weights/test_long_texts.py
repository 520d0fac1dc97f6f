"""Texts longer than a model was trained on, whole and token by token, against one pass of transformers over them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from core.decoding.decoder import Decoder
from core.engine import decoder_for
from core.errors import ContextFull
from core.kv_cache import KVCache
from core.model import Model
from tests.weights.support import tiny
from weights.load import load

ORIGINAL = 48  # tokens, in the cases with longrope
LONGROPE = [case for case in tiny.CASES if case.startswith("longrope")]
STRETCHED = [case for case, (_, options) in tiny.CASES.items() if "factor" in str(options.get("rope_parameters"))]


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.backends.eager.MAX_PREFILL_TOKENS", 16)
    monkeypatch.setattr("core.backends.eager.MIN_PREFILL_TOKENS", 16)


def opened(folder: Path) -> Model:
    return load(folder, device="cpu", dtype="float32")


def some_ids(n: int, seed: int = 1) -> list[int]:
    found: list[int] = torch.randint(0, tiny.VOCAB, (n,), generator=torch.Generator().manual_seed(seed)).tolist()
    return found


def whole(folder: Path, ids: list[int]) -> Tensor:
    """The logits of transformers after every token, from one pass without a cache: (n, vocab)."""
    found: Tensor = tiny.reference(folder)(torch.tensor([ids]), use_cache=False).logits[0]
    return found


def read(decoder: Decoder, ids: list[int]) -> None:
    """As the engine does."""
    for _ in decoder.prefill(ids[decoder.keep_common(ids) :]):
        pass


def assert_near(got: object, want: Tensor) -> None:
    np.testing.assert_allclose(got, want.numpy(), rtol=0, atol=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("case", STRETCHED)
def test_logits_up_to_the_end_of_the_context(case: str, tmp_path: Path) -> None:
    folder = tiny.write(case, tmp_path)
    ids = some_ids(128)
    transformer = opened(folder).transformer
    assert_near(transformer.unembed(transformer(torch.tensor([ids])))[0], whole(folder, ids))


@pytest.mark.parametrize("case", LONGROPE)
@pytest.mark.usefixtures("_small_chunks")
def test_growing_past_the_original_context_reads_everything_anew(case: str, tmp_path: Path) -> None:
    folder = tiny.write(case, tmp_path)
    ids = some_ids(70)
    decoder = decoder_for(opened(folder))
    read(decoder, ids[:40])
    short = whole(folder, ids[:ORIGINAL])
    for n in range(40, 70):
        logits = decoder.decode_one(ids[n])
        assert_near(logits, short[n] if n < ORIGINAL else whole(folder, ids[: n + 1])[n])
    for n in (0, 39, ORIGINAL - 1):  # what was recorded when the text was short stays
        assert_near(decoder.logits(n), short[n])


@pytest.mark.parametrize("case", LONGROPE)
@pytest.mark.usefixtures("_small_chunks")
def test_a_long_prompt_is_read_as_a_long_text_from_its_first_chunk(case: str, tmp_path: Path) -> None:
    folder = tiny.write(case, tmp_path)
    ids = some_ids(90)
    decoder = decoder_for(opened(folder))
    chunks = list(decoder.prefill(ids))
    assert chunks == [16, 32, 48, 64, 80, 90]
    want = whole(folder, ids)
    for n in range(90):
        assert_near(decoder.logits(n), want[n])


@pytest.mark.usefixtures("_small_chunks")
def test_a_text_that_is_short_again_is_read_anew(tmp_path: Path) -> None:
    folder = tiny.write("longrope", tmp_path)
    ids = some_ids(60)
    decoder = decoder_for(opened(folder))
    for text in (ids, ids[:20] + some_ids(10, seed=2), ids, ids[:30], ids[:50], ids[:ORIGINAL]):
        read(decoder, text)
        assert decoder.ids == text
        assert_near(decoder.logits(len(text) - 1), whole(folder, text)[-1])


@pytest.mark.usefixtures("_small_chunks")
def test_a_long_prompt_that_was_stopped_early(tmp_path: Path) -> None:
    folder = tiny.write("longrope", tmp_path)
    ids = some_ids(60)
    decoder = decoder_for(opened(folder))
    next(decoder.prefill(ids))
    assert decoder.ids == ids[:16]
    read(decoder, ids[:20])
    assert_near(decoder.logits(19), whole(folder, ids[:20])[-1])


def test_a_cache_of_a_short_text_is_not_used_for_a_long_one(tmp_path: Path) -> None:
    model = opened(tiny.write("longrope", tmp_path))
    cache = KVCache(model.transformer.config, device=model.device, dtype=model.dtype)
    tokens = torch.tensor([some_ids(60)])
    model.transformer(tokens[:, :40], cache)
    with pytest.raises(ValueError, match="40 positions were read as a short text"):
        model.transformer(tokens[:, 40:], cache)
    assert cache.length == 40


def test_with_a_context_within_the_original_one_a_text_is_never_long(tmp_path: Path) -> None:
    model = load(tiny.write("longrope", tmp_path), device="cpu", dtype="float32", context=ORIGINAL)
    decoder = decoder_for(model)
    read(decoder, some_ids(ORIGINAL))
    with pytest.raises(ContextFull, match="49 tokens do not fit"):
        decoder.decode_one(1)


def test_dynamic_ntk_ends_where_it_would_begin(tmp_path: Path) -> None:
    """One token more, and transformers turns all those before it otherwise."""
    folder = tiny.write("dynamic", tmp_path)
    ids = some_ids(129)
    decoder = decoder_for(opened(folder))
    read(decoder, ids[:100])
    want = whole(folder, ids[:128])
    for n in range(100, 128):
        assert_near(decoder.decode_one(ids[n]), want[n])
    assert (whole(folder, ids)[:128] - want).abs().max() > 1e-2
    with pytest.raises(ContextFull, match="129 tokens do not fit"):
        decoder.decode_one(ids[128])
