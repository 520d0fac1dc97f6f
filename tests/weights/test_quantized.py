"""Weights held in 8 and 4 bits: what is kept as it is stored, what is rounded, and what that costs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import quants
from torch import Tensor

from core.conversation import Message
from core.engine import decoder_for
from core.errors import BadSetting, OutOfMemory
from core.model import Model
from core.native import quantize as native_quantize
from core.native.bindings import library
from core.quantization.layers import QuantizedEmbedding, QuantizedLinear
from core.quantization.packed import Packed
from core.quantization.packing import dequantize, dequantize_in_torch, gather_rows, quantize, write_rows
from core.text.prompt import prompt_ids
from tests.weights.support import tiny, tiny_gguf
from weights import load as loading
from weights.fit.available import AvailableMemory
from weights.load import load

Kind = gguf.GGMLQuantizationType
KINDS = {"int8": Kind.Q8_0, "int4": Kind.Q4_0}
WIDE = {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def packed_in(model: Model) -> dict[str, Packed]:
    layers = model.transformer.named_modules()
    return {name: one.packed for name, one in layers if isinstance(one, QuantizedLinear | QuantizedEmbedding)}


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_of_ggml_are_kept_to_the_last_bit(kind: str) -> None:
    values = np.random.default_rng(0).normal(size=(70, 96)).astype(np.float32)
    values[3] = 0
    stored = quants.dequantize(
        quants.quantize(values, KINDS[kind]), KINDS[kind]
    )  # by the package of llama.cpp's authors
    packed = quantize(torch.from_numpy(stored), kind)
    for by_c in (True, False):
        unpacked = dequantize(packed, torch.float32) if by_c else dequantize_in_torch(packed, torch.float32, 0, 70)
        assert np.array_equal(unpacked.numpy(), stored)
    chosen = torch.tensor([[69, 0], [3, 16]])
    assert np.array_equal(gather_rows(packed, chosen, torch.float32).numpy(), stored[chosen.numpy()])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits_it_is_rounded_as_torch_rounds(kind: str, dtype: torch.dtype) -> None:
    packed = quantize(torch.randn(37, 64), kind)
    assert torch.equal(dequantize(packed, dtype), dequantize_in_torch(packed, dtype, 0, 37))


@pytest.mark.parametrize("kind", KINDS)
def test_scales_of_any_size_are_rounded_as_torch_rounds(kind: str) -> None:
    """From those that become 0, by subnormal ones, to those that are too large for float16."""
    values = torch.randn(400, 32).sign() * torch.logspace(-9, 8, 400)[:, None]
    with pytest.MonkeyPatch.context() as patch:
        packed = [quantize(values, kind)]
        patch.setattr(native_quantize, "quantize", lambda *_: False)
        packed.append(quantize(values, kind))
    assert torch.equal(packed[0].scales, packed[1].scales)
    small = packed[0].scales.abs()
    assert ((small > 0) & (small < 2**-14)).any()
    assert (small == 0).any()
    assert small.isinf().any()


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_is_as_good_as_that_of_ggml(kind: str) -> None:
    values = np.random.default_rng(1).normal(size=(64, 256)).astype(np.float32)
    theirs = quants.dequantize(quants.quantize(values, KINDS[kind]), KINDS[kind])
    ours = dequantize(quantize(torch.from_numpy(values), kind), torch.float32).numpy()
    assert np.square(ours - values).mean() <= 1.001 * np.square(theirs - values).mean()


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_packed_piece_by_piece_is_what_is_packed_at_once(kind: str) -> None:
    values = torch.randn(37, 64)
    at_once, by_pieces = quantize(values, kind), Packed.empty(37, 64, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_quantize, "quantize", lambda *_: False)
        by_torch = quantize(values, kind)
    assert torch.equal(at_once.scales, by_torch.scales)
    assert (
        dequantize(at_once, torch.float32) != dequantize(by_torch, torch.float32)
    ).float().mean() < 0.01  # ties, at most
    write_rows(by_pieces, 0, values[:32])
    write_rows(by_pieces, 32, values[32:])
    assert torch.equal(at_once.weights, by_pieces.weights)
    assert torch.equal(at_once.scales, by_pieces.scales)
    assert torch.equal(dequantize(at_once, torch.float32, 16, 20), dequantize(at_once, torch.float32)[16:36])
    with pytest.raises(ValueError, match="rows 5 to 21 of 37 are no whole blocks"):
        write_rows(by_pieces, 5, values[:16])
    with pytest.raises(ValueError, match="33 columns"):
        Packed.empty(4, 33, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_number_stays_none(kind: str) -> None:
    """So that a damaged model is noticed, and does not speak as if it were sound."""
    values = torch.randn(20, 64)
    values[17, 40], values[2, 3] = torch.nan, torch.inf
    with pytest.MonkeyPatch.context() as patch:
        packed = [quantize(values, kind)]
        patch.setattr(native_quantize, "quantize", lambda *_: False)
        packed.append(quantize(values, kind))
    for one in packed:
        broken = ~dequantize(one, torch.float32).isfinite()
        assert broken[17, 32:].all()
        assert broken[2, :32].all()
        assert broken.sum() == 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | WIDE | {"tie_word_embeddings": False}))
        return tiny.write("wide", tmp_path_factory.mktemp("wide") / "model")


def opened(path: Path, **options: Any) -> Model:
    return load(path, device="cpu", **{"dtype": "float32"} | options)


def test_every_matrix_of_a_layer_is_held_as_asked_and_the_ends_in_8_bits(folder: Path) -> None:
    plain = opened(folder)
    assert packed_in(plain) == {}
    assert plain.precision == "float32"
    for mode in KINDS:
        model = opened(folder, quantize=mode)
        kinds = {name: packed.kind for name, packed in packed_in(model).items()}
        ends = {"embedding", "head"}
        assert len(kinds) == 2 + 7 * model.transformer.config.n_layers
        assert {kinds.pop(name) for name in ends} == {"int8"}
        assert set(kinds.values()) == {mode}
        assert (model.precision, model.n_parameters) == (mode, plain.n_parameters)
        assert model.bytes_per_token(0) < plain.bytes_per_token(0) / (3 if mode == "int8" else 4)


def test_it_speaks_almost_as_before(folder: Path) -> None:
    ids = torch.arange(40)[None]
    plain, eight, four = (
        model.transformer.unembed(model.transformer(ids))
        for model in (opened(folder), opened(folder, quantize="int8"), opened(folder, quantize="int4"))
    )
    assert 0 < (eight - plain).std() < 0.05 * plain.std()
    assert (eight - plain).std() < (four - plain).std() < 0.4 * plain.std()


def test_matrices_that_cannot_be_cut_into_groups_stay_as_they_are(tmp_path: Path) -> None:
    model = opened(tiny.write("llama", tmp_path / "m"), quantize="int4")
    widths = {name: packed.columns for name, packed in packed_in(model).items()}
    rest = [one.in_features for one in model.transformer.modules() if isinstance(one, torch.nn.Linear)]
    assert all(width % 32 == 0 for width in widths.values())
    assert all(width % 32 for width in rest)
    assert len(widths) + len(rest) > 2


@pytest.mark.skipif(library() is None, reason="the C library is not built")
@pytest.mark.parametrize(("stored", "kept"), [("Q4_0", "int4"), ("Q8_0", "int8"), ("Q5_1", "int8"), ("F16", None)])
def test_a_gguf_file_is_kept_as_it_is_stored(stored: str, kept: str | None, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | WIDE))
        path = tiny_gguf.write_model(tiny.random_model("wide"), tmp_path / "m.gguf", kind=Kind[stored])
    model, exact = opened(path), opened(path, quantize="none")
    packed = packed_in(model)
    assert {one.kind for name, one in packed.items() if name not in ("embedding", "head")} == ({kept} - {None})
    for name, one in packed.items():
        if name not in ("embedding", "head") and stored in ("Q4_0", "Q8_0"):
            weight = exact.transformer.get_submodule(name).weight
            assert torch.equal(dequantize(one, torch.float32), weight)


def test_what_is_decoded_in_torch_is_not_kept_in_8_bits_unasked(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.CASES, "wide", ("llama", tiny.SIZES | WIDE))
        path = tiny_gguf.write_model(tiny.random_model("wide"), tmp_path / "m.gguf", kind=Kind.Q8_0)
    assert packed_in(opened(path, dtype="float16")) == {}


def test_auto_is_the_first_that_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = opened(folder)
    n, context = plain.n_parameters, plain.context_length
    ends = 2 * plain.transformer.embedding.weight.numel()  # in 8 bits also where the rest has 4
    cache = 2 * plain.transformer.config.n_layers * 2 * 16 * context * 4
    for bits, kinds in ((32 * n, set()), (8.5 * n, {"int8"}), (4.5 * n + 4 * ends, {"int8", "int4"})):
        there = AvailableMemory(device="cpu", dtype="float32", free=int(bits / 8) + cache + 1)
        monkeypatch.setattr(loading, "available_memory", lambda device, dtype, there=there: there)
        assert {one.kind for one in packed_in(opened(folder, quantize="auto")).values()} == kinds
    monkeypatch.setattr(
        loading, "available_memory", lambda device, dtype: AvailableMemory(device="cpu", dtype="float32", free=1000)
    )
    with pytest.raises(OutOfMemory, match="4 bits"):
        opened(folder, quantize="auto")


def test_a_quantization_that_there_is_not(folder: Path) -> None:
    with pytest.raises(BadSetting, match=r"'int3'.*none, int8, int4, auto"):
        opened(folder, quantize="int3")


TALK = (
    ("What is your name?", "My name is Logitscope's own little model."),
    ("Why is the sky blue?", "Sunlight has many colors. The air scatters the blue ones most, and so the sky is blue."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("Tell me a story.", "Once there was a small mouse. It lived under the floor of an old house."),
    ("Thanks!", "You are welcome."),
)


def distributions(model: Model, ids: list[int]) -> Tensor:
    """Log probabilities (len(ids), vocab) as they come out of decoding, token by token."""
    decoder = decoder_for(model)
    logits = np.stack([decoder.decode_one(token) for token in ids])
    return torch.from_numpy(logits).double().log_softmax(-1)


@pytest.mark.parametrize(("mode", "most"), [("int8", 1e-3), ("int4", 0.1)])
def test_the_shipped_model_loses_little(mode: str, most: float) -> None:
    """KL(bf16 || quantized), the mean over the tokens of a chat, in nats."""
    plain, quantized = (load("bundled", device="cpu", dtype="bfloat16", quantize=one) for one in ("none", mode))
    talk = tuple(
        Message(role=role, text=text) for turn in TALK for role, text in zip(("user", "assistant"), turn, strict=True)
    )
    ids = prompt_ids(talk, plain.template, plain.tokenizer)
    p, q = distributions(plain, ids), distributions(quantized, ids)
    divergence = (p.exp() * (p - q)).sum(-1).mean().item()
    print(f"{mode}: {divergence:.2e} nats per token")
    assert 0 < divergence < most
