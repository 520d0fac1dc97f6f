"""What a trace holds: the text, rows of the positions asked for, nothing that was not. What the numbers are is compared
with transformers in tests/weights/families/test_taps.py."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
import torch

from core.config import ModelConfig
from core.inspect.trace import trace
from core.layers.taps import tap_names
from core.quantization.layers import install
from core.quantization.packing import quantize
from core.transformer import Transformer

CONFIG = ModelConfig(
    vocab_size=50, context_length=30, n_layers=3, n_heads=4, n_kv_heads=2, d_model=32, d_head=8, d_ff=64
)
IDS = [3, 1, 4, 1, 5, 9, 2, 6]


@pytest.fixture(scope="module")
def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG).eval()


def test_shapes_are_those_that_are_promised(transformer: Transformer) -> None:
    found = trace(transformer, IDS, tap_names(CONFIG))
    heads = {"query": (4, 8, 8), "key": (2, 8, 8), "value": (2, 8, 8), "scores": (4, 8, 8), "weights": (4, 8, 8)}
    assert found.ids == tuple(IDS)
    assert found.positions == tuple(range(8))
    assert set(found.values) == set(tap_names(CONFIG))
    for name, tensors in found.values.items():
        assert len(tensors) == (1 if name in ("embedding", "hidden") else 3)
        assert {tuple(tensor.shape) for tensor in tensors} == {heads.get(name, (8, 32))}, name


def test_only_what_is_asked_for_is_kept(transformer: Transformer) -> None:
    found = trace(transformer, IDS, ["weights", "hidden"])
    assert set(found.values) == {"weights", "hidden"}
    with pytest.raises(KeyError):
        found["scores"]


def test_rows_of_some_positions(transformer: Transformer) -> None:
    whole, part = (
        trace(transformer, IDS, tap_names(CONFIG)),
        trace(transformer, IDS, tap_names(CONFIG), positions=[7, 2]),
    )
    assert part.positions == (7, 2)
    for name, tensors in whole.values.items():
        rows = slice(None) if name in ("key", "value") else [7, 2]
        for got, want in zip(part[name], tensors, strict=True):
            assert torch.equal(got, want[:, rows] if want.dim() == 3 else want[rows]), name
            assert got.untyped_storage().nbytes() <= got.nbytes or name in ("key", "value"), (
                "the rest is kept in memory"
            )


def test_the_hidden_state_is_that_of_the_ordinary_pass(transformer: Transformer) -> None:
    with torch.inference_mode():
        want = transformer(torch.tensor([IDS]))
    assert torch.equal(trace(transformer, IDS, ["hidden"])["hidden"][0], want[0])


def test_a_quantized_model_is_traced_as_it_is_held() -> None:
    torch.manual_seed(0)
    quantized = Transformer(CONFIG).eval()
    with torch.inference_mode():
        install(quantized, {"blocks.1.attention.query.weight": quantize(torch.randn(32, 32), "int8")}, torch.float32)
        want = quantized(torch.tensor([IDS]))
    found = trace(quantized, IDS, ["weights", "hidden"])
    torch.testing.assert_close(found["hidden"][0], want[0])


def test_a_trace_is_frozen(transformer: Transformer) -> None:
    found = trace(transformer, IDS, ["hidden"])
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.ids = ()  # type: ignore[misc]


@pytest.mark.parametrize(
    ("ids", "names", "positions", "message"),
    [
        ([], ["hidden"], None, "a text to trace has 1 to 30 tokens, not 0"),
        ([1] * 31, ["hidden"], None, "a text to trace has 1 to 30 tokens, not 31"),
        ([1, 50], ["hidden"], None, "there is no token 50 in a vocabulary of 50"),
        ([1, -1], ["hidden"], None, "there is no token -1"),
        ([1, 2], ["hidden"], [2], "there is no position 2 in a text of 2 tokens"),
        ([1, 2], ["hidden"], [-1], "there is no position -1"),
        ([1, 2], ["hidden", "logits"], None, "no tap 'logits'; it has embedding, hidden, query"),
    ],
)
def test_what_cannot_be_traced(
    ids: list[int], names: list[str], positions: Sequence[int] | None, message: str, transformer: Transformer
) -> None:
    with pytest.raises(ValueError, match=message):
        trace(transformer, ids, names, positions=positions)
