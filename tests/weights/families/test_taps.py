"""What the taps of every family give, against the attention weights and hidden states of transformers.

The tolerance is ten times the largest difference there was (1e-6, on numbers up to 30): only the order of sums differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from core.inspect.trace import Trace, trace
from core.layers.taps import ATTENTION, Taps, tap_names
from core.transformer import Block, Transformer
from tests.weights.support import tiny
from weights.load import load

# Every family with a text of 40 tokens; those with longrope also with one that is longer than their original context.
TEXTS = [(case, 40) for case in tiny.CASES] + [(case, 60) for case in tiny.CASES if case.startswith("longrope")]


class Both(NamedTuple):
    """One text, read by both."""

    ids: list[int]
    transformer: Transformer
    trace: Trace  # of all taps
    weights: list[Tensor]  # from here on what transformers says: per layer, (heads, time, length)
    hidden: list[Tensor]  # one more than layers, (time, d_model)
    attention: list[Tensor]  # per layer what its attention module gives out, (time, d_model)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module", params=TEXTS, ids=lambda text: f"{text[0]} {text[1]}")
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    case, length = request.param
    folder = tiny.write(case, tmp_path_factory.mktemp("tiny"))
    transformer = load(folder, device="cpu", dtype="float32").transformer
    ids = torch.randint(0, tiny.VOCAB, (length,), generator=torch.Generator().manual_seed(1)).tolist()
    reference, attention = tiny.reference(folder), []
    for module in reference.modules():
        if type(module).__name__.endswith("Attention"):
            module.register_forward_hook(lambda _module, _inputs, outputs: attention.append(outputs[0][0]))
    with torch.inference_mode():
        output = reference(torch.tensor([ids]), use_cache=False, output_attentions=True, output_hidden_states=True)
    return Both(
        ids=ids,
        transformer=transformer,
        trace=trace(transformer, ids, tap_names(transformer.config)),
        weights=[weights[0] for weights in output.attentions],
        hidden=[hidden[0] for hidden in output.hidden_states],
        attention=attention,
    )


def blocks_of(transformer: Transformer) -> list[Block]:
    blocks: Any = transformer.blocks
    return list(blocks)


def assert_near(got: Any, want: Any) -> None:
    torch.testing.assert_close(got, want, rtol=0, atol=1e-5)


# --- transformers' own numbers ----------------------------------------------------------------------------------------


def test_attention_weights_are_those_of_transformers(both: Both) -> None:
    assert_near(list(both.trace["weights"]), both.weights)


def test_the_residual_stream_is_the_hidden_states_of_transformers(both: Both) -> None:
    """Their first is the residual stream before layer 0, the others that after each layer, in every arrangement of
    norms: with post-norm after the norm of the sum. But the last of them is after the final norm, where there is one
    (post-norm models have none), and what goes into that norm they do not tell."""
    *before_the_last, last = both.hidden
    assert_near([*both.trace["embedding"], *both.trace["residual"][:-1]], before_the_last)
    assert_near(both.trace["hidden"], (last,))
    if both.transformer.config.residual == "post":
        assert_near(both.trace["residual"][-1], last)
    assert_near(both.transformer.norm(both.trace["residual"][-1]), last)


def test_what_attention_adds_is_what_their_module_gives_out(both: Both) -> None:
    """Theirs is before the norm of what is added (sandwich, branch) and before its scale (granite)."""
    for block, got, want in zip(blocks_of(both.transformer), both.trace["attention_out"], both.attention, strict=True):
        assert_near(got, block.scaled(block.attention_out_norm(want)))


# --- arithmetic that leads from one tap to the next -------------------------------------------------------------------


def test_weights_are_the_softmax_of_scores_of_queries_and_keys(both: Both) -> None:
    config, seen = both.transformer.config, both.trace
    for layer, block in enumerate(blocks_of(both.transformer)):
        query, key, scores = (seen[name][layer] for name in ("query", "key", "scores"))
        assert query.shape == (config.n_heads, len(both.ids), config.d_head)
        assert key.shape == seen["value"][layer].shape == (config.n_kv_heads, len(both.ids), config.d_head)
        products = query @ key.repeat_interleave(config.n_heads // config.n_kv_heads, dim=0).mT * block.attention.scale
        if config.attention_softcap is not None:
            products = config.attention_softcap * (products / config.attention_softcap).tanh()
        masked = both.weights[layer] == 0  # by transformers: no visible token's weight is so small here
        assert_near(scores, products.masked_fill(masked, -torch.inf))
        assert_near(seen["weights"][layer], scores.softmax(-1))


def test_what_attention_adds_is_the_values_mixed_by_the_weights(both: Both) -> None:
    config, seen = both.transformer.config, both.trace
    for layer, block in enumerate(blocks_of(both.transformer)):
        value = seen["value"][layer].repeat_interleave(config.n_heads // config.n_kv_heads, dim=0)
        mixed = (seen["weights"][layer] @ value).transpose(0, 1).flatten(1)  # (time, heads * d_head)
        assert_near(seen["attention_out"][layer], block.scaled(block.attention_out_norm(block.attention.output(mixed))))


def test_the_residual_stream_is_the_sum_of_what_is_added(both: Both) -> None:
    """After every layer but the last it is transformers' own, see above; so what feed-forward adds is right, too."""
    seen, x = both.trace, both.trace["embedding"][0]
    for layer, block in enumerate(blocks_of(both.transformer)):
        x = x + seen["attention_out"][layer]
        if "residual_mid" in seen.values:
            x = block.attention_sum_norm(x)
            assert_near(seen["residual_mid"][layer], x)
        x = block.feed_forward_sum_norm(x + seen["feed_forward_out"][layer])
        assert_near(seen["residual"][layer], x)
        x = seen["residual"][layer]


def test_a_parallel_block_has_no_middle(both: Both) -> None:
    parallel = both.transformer.config.residual.startswith("parallel")
    assert ("residual_mid" in both.trace.values) != parallel
    if parallel:
        with pytest.raises(ValueError, match="no tap 'residual_mid'; it has embedding, hidden, query"):
            Taps(both.transformer.config, ["residual_mid"])


# --- looking changes nothing ------------------------------------------------------------------------------------------


def test_logits_with_taps_are_those_without(both: Both) -> None:
    """To the last bit where attention stays fused, or is computed in steps anyway, as a softcap has it."""
    transformer, tokens = both.transformer, torch.tensor([both.ids])
    names = tap_names(transformer.config)
    want = transformer.unembed(transformer(tokens))
    fused = Taps(transformer.config, [name for name in names if name not in ATTENTION])
    assert torch.equal(transformer.unembed(transformer(tokens, taps=fused)), want)
    everything = transformer.unembed(transformer(tokens, taps=Taps(transformer.config, names)))
    if transformer.config.attention_softcap is None:
        torch.testing.assert_close(everything, want, rtol=0, atol=1e-4)  # as for the logits of transformers
    else:
        assert torch.equal(everything, want)


def test_every_layer_is_seen_once(both: Both) -> None:
    for name, tensors in both.trace.values.items():
        assert len(tensors) == (1 if name in ("embedding", "hidden") else both.transformer.config.n_layers), name


def test_nothing_is_left_out_of_the_comparison(both: Both) -> None:
    assert len(both.weights) == len(both.attention) == both.transformer.config.n_layers == len(both.hidden) - 1
    assert isinstance(both.transformer.norm, nn.Identity) == (both.transformer.config.residual == "post")
