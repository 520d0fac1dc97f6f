"""A model and its draft from files: what is opened together, what is refused, and what there must be memory for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file
from tokenizers import Tokenizer as Backend

from core.conversation import Message
from core.engine import Engine
from core.errors import BadDraft, LogitscopeError, ModelNotFound, OutOfMemory
from core.native.bindings import library
from core.quantization.layers import packed_in
from core.records import Token
from core.settings import Settings
from core.transformer import Transformer
from tests.support.tiny import CHATML, tiny_backend, tiny_model, tiny_tokenizer
from weights import load as loading
from weights.families.own_format import fields_of
from weights.fit.available import AvailableMemory
from weights.fit.requirement import MemoryRequirement, context_that_fits
from weights.load_draft import LoadedPair, load_with_draft
from weights.load_options import LoadOptions

pytestmark = pytest.mark.skipif(library() is None, reason="guesses are for the C library, which is not built")
HELLO = (Message(role="user", text="Hello! Say it again, and again, and again."),)


def write(folder: Path, *, backend: Backend | None = None, seed: int = 0, **sizes: Any) -> str:
    """A checkpoint of a random model."""
    folder.mkdir()
    config = replace(tiny_model(tiny_tokenizer(), seed=seed).transformer.config, **sizes)
    transformer = tiny_model(tiny_tokenizer(), seed=seed).transformer if not sizes else Transformer(config)
    settings = {"model_type": "logitscope", "transformer": fields_of(config)}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "tokenizer.json").write_text((backend or tiny_backend()).to_str())
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML}))
    save_file(transformer.state_dict(), folder / "model.safetensors")
    return str(folder)


@pytest.fixture
def model(tmp_path: Path) -> str:
    return write(tmp_path / "model")


@pytest.fixture
def small(tmp_path: Path) -> str:
    return write(tmp_path / "small", n_layers=1, d_ff=32, context_length=100)


def opened(model: str, draft: str | None, **options: Any) -> LoadedPair:
    on_progress = options.pop("on_progress", None)
    chosen = {"device": "cpu", "dtype": "float32", "draft": draft} | options
    return load_with_draft(model, LoadOptions(**chosen), on_progress)


def said(pair: LoadedPair) -> list[int]:
    engine = Engine(pair.model, draft=pair.draft)
    settings = Settings(seed=1, max_tokens=60)
    return [event.id for event in engine.tokens(HELLO, lambda: settings) if isinstance(event, Token)]


def test_another_model_drafts(model: str, small: str) -> None:
    pair = opened(model, small)
    assert pair.draft is not None
    assert (pair.draft.model.name, pair.draft.itself, pair.draft_fallback_reason) == ("small", False, "")
    assert (pair.model.precision, pair.draft.model.precision) == ("float32", "int8")
    assert (pair.model.context_length, pair.draft.model.context_length) == (256, 100)
    assert said(pair) == said(opened(model, None))


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_the_model_itself_drafts_in_fewer_bits(model: str, kind: str) -> None:
    pair = opened(model, kind)
    assert pair.draft is not None
    assert (pair.draft.model.name, pair.draft.itself) == (f"model in {kind}", True)
    assert not packed_in(pair.model.transformer)
    assert {one.kind for one in packed_in(pair.draft.model.transformer)} == {"int8", kind}, "the ends in 8 bits"
    assert said(pair) == said(opened(model, None))


def test_no_draft_is_no_draft(model: str) -> None:
    assert replace(opened(model, None), model=None) == LoadedPair(model=None)  # type: ignore[arg-type]


def test_rows_of_the_embedding_that_no_token_has_do_not_matter(model: str, tmp_path: Path) -> None:
    padded = write(tmp_path / "padded", n_layers=1, d_ff=32, vocab_size=384)
    pair = opened(model, padded)
    assert pair.draft is not None
    assert said(pair) == said(opened(model, None))
    bigger = write(tmp_path / "bigger", n_layers=5, vocab_size=384)
    assert opened(bigger, model).draft is not None


def other_vocabulary(tmp_path: Path) -> str:
    whole = json.loads(tiny_backend().to_str())
    vocab = whole["model"]["vocab"]
    vocab["x"], vocab["y"] = vocab["y"], vocab["x"]
    return write(tmp_path / "stranger", backend=Backend.from_str(json.dumps(whole)), n_layers=1, d_ff=32)


@pytest.mark.parametrize("needed", [True, False])
def test_a_draft_that_does_not_fit_is_refused_or_left_out(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, needed: bool
) -> None:
    """Before any weight is read."""
    stranger, large = other_vocabulary(tmp_path), write(tmp_path / "large", n_layers=40)
    cases: list[tuple[str, dict[str, Any], type[LogitscopeError], str]] = [
        (stranger, {}, BadDraft, "stranger cannot draft for model: token "),
        (large, {}, BadDraft, "large cannot draft for model: it takes "),
        ("int4", {"quantize": "int4"}, BadDraft, "model in int4 cannot draft for model: it takes "),
        ("no/such", {}, ModelNotFound, "There is no model 'no/such'"),
    ]
    for draft, options, kind, sentence in cases:
        if needed:
            with monkeypatch.context() as nothing_read:
                nothing_read.setattr(loading, "read_transformer", None)
                with pytest.raises(kind) as caught:
                    opened(model, draft, **options)
            assert caught.value.message.startswith(sentence)
        else:
            pair = opened(model, draft, draft_needed=False, **options)
            assert pair.draft is None
            assert pair.draft_fallback_reason.startswith(f"Without a draft: {sentence}")


def test_where_nothing_is_decoded_in_c_it_is_said_and_no_draft_is_read(model: str, small: str) -> None:
    pair = opened(model, small, dtype="float16")
    assert pair.draft is None
    assert pair.draft_fallback_reason == (
        f"{small} does not draft for model, as guesses need decoding in C: it computes in float32 and bfloat16, "
        "not in float16."
    )
    assert opened(model, "no/such", dtype="float16").draft is None


def test_progress_goes_on_through_both_and_ends_where_it_is_stopped(model: str, small: str) -> None:
    told: list[tuple[float, str]] = []
    opened(model, small, on_progress=lambda fraction, what: told.append((fraction, what)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert list(dict.fromkeys(what for _, what in told)) == ["model", "small"]

    class Unwanted(Exception):
        pass

    def stop(fraction: float, what: str) -> None:
        if what == "small" and fraction > 0:
            raise Unwanted

    for needed in (True, False):
        with pytest.raises(Unwanted):
            opened(model, small, on_progress=stop, draft_needed=needed)


# --- memory ----------------------------------------------------------------------------------------------------------

GB = 10**9
BIG = MemoryRequirement(n_parameters=8 * GB, cache_values=50_000, context=100_000)  # 16 GB, and 10 GB of cache at most
DRAFT = MemoryRequirement(n_parameters=GB, cache_values=10_000, context=40_000, bits=8.0)  # 1 GB, and 0.8 GB at most
BOTH = replace(BIG, draft=DRAFT)


def memory(free: float) -> AvailableMemory:
    return AvailableMemory(device="cpu", dtype="bfloat16", free=round(free * GB))


def test_what_both_need_is_the_sum() -> None:
    assert BOTH.total("bfloat16", 20_000) == 17 * GB + 20_000 * 60_000 * 2
    assert BOTH.total("bfloat16", 60_000) == 17 * GB + 60_000 * 50_000 * 2 + 40_000 * 10_000 * 2
    assert BOTH.quantized("int8").weights("bfloat16") == BIG.quantized("int8").weights("bfloat16") + GB


def test_the_context_is_one_that_both_have_room_for() -> None:
    assert BOTH.largest_context("bfloat16", 28 * GB) == 100_000  # 17 + 10 + 0.8
    assert BOTH.largest_context("bfloat16", round(18.2 * GB)) == 9_216  # 1.2 GB / 120,000 bytes = 10,000
    assert BIG.largest_context("bfloat16", round(18.2 * GB)) > BOTH.largest_context("bfloat16", round(18.2 * GB))


def test_what_would_fit_without_the_draft_is_said() -> None:
    with pytest.raises(OutOfMemory) as caught:
        context_that_fits(BOTH, memory(16.8), asked=4_000, name="big with the draft small")
    assert caught.value.message.startswith("big with the draft small needs 17.5 GB")
    assert caught.value.hint.endswith("or without --draft.")


def test_a_model_that_fits_without_its_draft_only(model: str, small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = LoadOptions(device="cpu", dtype="float32")
    large, little = (loading.locate(name, options, loading.tell_nobody).requirement for name in (model, small))
    free = large.total("float32", 256) + little.quantized("int8").weights("float32")  # but not the draft's cache
    tight = AvailableMemory(device="cpu", dtype="float32", free=free)
    monkeypatch.setattr(loading, "available_memory", lambda *_: tight)
    assert opened(model, None, context=256).model.context_length == 256
    with pytest.raises(OutOfMemory, match="model with the draft small"):
        opened(model, small, context=256)
    pair = opened(model, small, context=256, draft_needed=False)
    assert pair.draft is None
    assert "Without a draft: model with the draft small needs" in pair.draft_fallback_reason
