"""The ways to compute attention agree: torch's fused kernel, in steps, as one loop for a compiler, with taps or not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.config import ModelConfig
from core.layers.attention import Attention, View, attend, attend_in_steps, attend_tapped, visible
from core.layers.taps import ATTENTION, Taps, tap_names

CONFIG = ModelConfig(
    vocab_size=10, context_length=40, n_layers=1, n_heads=6, n_kv_heads=2, d_model=48, d_head=8, d_ff=8
)
TIMES = [(1, 1), (1, 12), (5, 12), (12, 12)]  # tokens of the pass, and those it can see


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def random_heads(time: int, length: int, kv_heads: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """q (2, 6, time, 8), k and v (2, kv_heads, length, 8)"""
    dice = torch.Generator().manual_seed(0)
    shapes = [(2, 6, time, 8), (2, kv_heads, length, 8), (2, kv_heads, length, 8)]
    return tuple(torch.randn(shape, generator=dice).to(dtype) for shape in shapes)


def view_of(time: int, length: int, window: int | None) -> View:
    """The last `time` of `length` tokens."""
    return View(None, visible(torch.arange(length - time, length), length, window), False, None)


def everything() -> Taps:
    return Taps(CONFIG, tap_names(CONFIG))


@pytest.mark.parametrize("softcap", [None, 1.5])
@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("kv_heads", [6, 2, 1])
@pytest.mark.parametrize(("time", "length"), TIMES)
def test_every_way_gives_the_same(
    time: int, length: int, kv_heads: int, window: int | None, softcap: float | None
) -> None:
    q, k, v = random_heads(time, length, kv_heads)
    view, taps = view_of(time, length, window), everything()
    want = attend(q, k, v, view, 0.3, softcap)
    assert want.shape == q.shape
    torch.testing.assert_close(attend(q, k, v, view._replace(compiled=True), 0.3, softcap), want)
    torch.testing.assert_close(attend_tapped(q, k, v, view, 0.3, softcap, taps), want)
    (scores,), (weights,) = taps.seen["scores"], taps.seen["weights"]
    assert scores.shape == weights.shape == (2, 6, time, length)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 6, time))
    assert torch.equal(scores.isneginf(), ~view.mask.expand_as(scores))  # type: ignore[union-attr]
    if softcap is not None:
        assert scores[~scores.isneginf()].abs().max() < softcap


def test_a_causal_pass_from_the_beginning_needs_no_mask() -> None:
    q, k, v = random_heads(12, 12, 2)
    causal, taps = View(None, None, True, None), everything()
    want = attend(q, k, v, view_of(12, 12, None), 0.3, None)
    torch.testing.assert_close(attend(q, k, v, causal, 0.3, None), want)
    torch.testing.assert_close(attend_tapped(q, k, v, causal, 0.3, None, taps), want)
    assert torch.equal(taps.seen["weights"][0] > 0, visible(torch.arange(12), 12, None).expand(2, 6, 12, 12))


def test_in_steps_is_the_textbook() -> None:
    q, k, v = random_heads(5, 12, 6)
    mask = visible(torch.arange(7, 12), 12, 4)
    mixed, _, _ = attend_in_steps(q, k, v, mask, 0.3, None)
    torch.testing.assert_close(mixed, F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.3))


def test_in_bfloat16_scores_are_not_rounded() -> None:
    """The fused kernel does not round them either; scores in bfloat16 would be wrong by up to one part in 256."""
    q, k, v = random_heads(12, 12, 2, torch.bfloat16)
    view, taps = view_of(12, 12, None), everything()
    mixed = attend_tapped(q, k, v, view, 3.0, None, taps)
    assert mixed.dtype == torch.bfloat16
    assert taps.seen["scores"][0].dtype == taps.seen["weights"][0].dtype == torch.float32
    exact = everything()
    attend_tapped(q.float(), k.float(), v.float(), view, 3.0, None, exact)
    torch.testing.assert_close(taps.seen["scores"][0], exact.seen["scores"][0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(mixed, attend(q, k, v, view, 3.0, None), rtol=0.02, atol=0.02)


def test_without_taps_on_scores_or_weights_attention_stays_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    attention, x = Attention(CONFIG, 0), torch.randn(1, 12, 48)
    view, fused = View(None, None, True, None), []

    def counted(*arguments: Tensor, **options: object) -> Tensor:
        fused.append(options)
        return torch.nn.functional.softmax(arguments[0], -1)

    monkeypatch.setattr("core.layers.attention.F.scaled_dot_product_attention", counted)
    for names in (["query", "key", "value", "attention_out"], ["scores"], ["weights"]):
        attention(x, view, Taps(CONFIG, names))
        assert len(fused) == (0 if ATTENTION & set(names) else 1)
        fused.clear()
    attention(x, view)
    assert len(fused) == 1


def test_a_window_is_counted_with_the_token_itself() -> None:
    seen = visible(torch.arange(2, 5), 5, 2)  # positions 2, 3 and 4 of five tokens
    assert seen.int().tolist() == [[0, 1, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize("residual", ["pre", "post", "parallel"])
def test_names_that_are_no_taps(residual: str) -> None:
    config = replace(CONFIG, residual=residual)
    with pytest.raises(ValueError, match="no tap 'wieghts'; it has embedding, hidden, query, key") as caught:
        Taps(config, ["query", "wieghts"])
    assert all(name in str(caught.value) for name in tap_names(config))
    assert ("residual_mid" in str(caught.value)) == (residual != "parallel")
