"""The transformer against torch's own, and against itself: whole or in pieces, cached or not, the numbers agree.

Each family's arrangement is compared with transformers in tests/weights/test_load.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config import RopeConfig
from core.kv_cache import GROWTH, KVCache
from core.layers.rope import rope_frequencies
from core.layers.taps import Taps, tap_names
from core.transformer import Transformer
from tests.core.support.transformers import (
    CONFIGS,
    SMALL,
    TEXTBOOK,
    assert_same,
    new_cache,
    random_transformer,
    some_tokens,
)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield


def in_pieces(transformer: Transformer, tokens: Tensor, cache: KVCache, sizes: list[int]) -> Tensor:
    return torch.cat([transformer(piece, cache) for piece in tokens.split(sizes, dim=1)], dim=1)


# --- the textbook's arrangement ---------------------------------------------------------------------------------------


def torchs_own(ours: Transformer) -> nn.TransformerEncoder:
    """torch's encoder of the original transformer, with our weights."""
    c = ours.config
    layer = nn.TransformerEncoderLayer(c.d_model, c.n_heads, c.d_ff, 0.0, "relu", c.norm_eps, batch_first=True)
    theirs = nn.TransformerEncoder(layer, c.n_layers, enable_nested_tensor=False).eval()
    for block, encoder in zip(ours.blocks, theirs.layers, strict=True):
        qkv = [block.attention.query, block.attention.key, block.attention.value]
        encoder.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in qkv]))
        encoder.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in qkv]))
        for mine, other in (
            (block.attention.output, encoder.self_attn.out_proj),
            (block.feed_forward.up, encoder.linear1),
            (block.feed_forward.down, encoder.linear2),
            (block.attention_sum_norm, encoder.norm1),
            (block.feed_forward_sum_norm, encoder.norm2),
        ):
            other.load_state_dict(mine.state_dict())
    return theirs


def test_the_textbook_transformer_is_torchs_own() -> None:
    ours = random_transformer(TEXTBOOK)
    tokens = some_tokens(40)
    x = ours.embedding(tokens) * 32**0.5
    for position in range(40):  # "Attention Is All You Need", section 3.5, as it is written there
        for i in range(16):
            angle = torch.tensor(position / 10_000 ** (2 * i / 32))
            x[0, position, 2 * i] += angle.sin()
            x[0, position, 2 * i + 1] += angle.cos()
    mask = nn.Transformer.generate_square_subsequent_mask(40)
    hidden = torchs_own(ours)(x, mask=mask, is_causal=True)
    assert_same(ours(tokens), hidden)
    logits = ours.unembed(ours(tokens))
    assert_same(logits, hidden @ ours.head.weight.T + ours.head.bias)
    assert logits.dtype == torch.float32


def test_a_batch_is_its_sequences() -> None:
    for config in CONFIGS.values():
        transformer = random_transformer(config)
        tokens = torch.cat((some_tokens(20, seed=1), some_tokens(20, seed=2)))
        assert_same(transformer(tokens), torch.cat([transformer(row[None]) for row in tokens]))


def test_experts_are_all_asked_and_most_of_them_ignored() -> None:
    """As the paper writes it: a sum over all experts, with nothing for those that are not among the likeliest."""
    for renormalised in (False, True):
        config = dataclasses.replace(CONFIGS["experts"], renormalised=renormalised)
        experts = random_transformer(config).blocks[0].feed_forward
        x = torch.randn(2, 7, 32, generator=torch.Generator().manual_seed(1))
        shares = (x @ experts.router.weight.T).softmax(-1)  # (batch, time, n_experts)
        kept = shares.argsort(descending=True).argsort() < 2
        shares = shares * kept
        if renormalised:
            shares = shares / shares.sum(-1, keepdim=True)
        want = sum(shares[..., n, None] * expert(x) for n, expert in enumerate(experts.experts))
        assert_same(experts(x), want)


def test_the_names_of_the_weights_stay() -> None:
    """A training run that was begun goes on with them."""
    linear = [f"attention.{part}" for part in ("query", "key", "value", "output")]
    linear += [f"feed_forward.{part}" for part in ("up", "gate", "down")]
    block = [*linear, "attention_norm", "feed_forward_norm"]
    want = {f"blocks.{layer}.{part}.weight" for layer in range(3) for part in block}
    assert set(random_transformer(SMALL).state_dict()) == want | {"embedding.weight", "norm.weight", "head.weight"}


@pytest.mark.parametrize("name", ["plain", "textbook", "yarn", "some without rope"])
def test_one_graph_for_the_compiler(name: str) -> None:
    """Training compiles the forward pass; a break in its graph would be an error here."""
    transformer = random_transformer(CONFIGS[name])
    compiled = torch.compile(transformer, fullgraph=True, backend="eager")
    for n in (20, 30):
        assert_same(compiled(some_tokens(n)), transformer(some_tokens(n)))


# --- no token sees the future, a window ends where it ends ------------------------------------------------------------


@pytest.mark.parametrize("name", CONFIGS)
def test_a_token_changes_nothing_before_it(name: str) -> None:
    transformer = random_transformer(CONFIGS[name])
    tokens = some_tokens(30)
    before = transformer(tokens)
    tokens[0, 20] = (tokens[0, 20] + 1) % 101
    after = transformer(tokens)
    rounding = 1e-5 if CONFIGS[name].expert_layers else 0  # tokens of one expert are multiplied together
    torch.testing.assert_close(after[:, :20], before[:, :20], rtol=0, atol=rounding)
    assert (after[:, 20] - before[:, 20]).abs().max() > 1e-3


def test_a_window_of_five_sees_itself_and_four_before() -> None:
    one_layer = dataclasses.replace(SMALL, n_layers=1, window=5, windowed_layers=frozenset({0}))
    transformer = random_transformer(one_layer)
    tokens = some_tokens(30)
    before = transformer(tokens)
    tokens[0, 10] = (tokens[0, 10] + 1) % 101
    moved = (transformer(tokens) - before).abs().amax(dim=(0, 2)) > 1e-6
    assert moved.nonzero().flatten().tolist() == [10, 11, 12, 13, 14]


def test_a_window_longer_than_the_text_is_no_window() -> None:
    tokens = some_tokens(30)
    windowed = dataclasses.replace(SMALL, window=30, windowed_layers=frozenset(range(3)))
    assert_same(random_transformer(windowed)(tokens), random_transformer(SMALL)(tokens))


def test_windowed_layers_have_a_rope_of_their_own() -> None:
    tokens = some_tokens(30)
    rope = RopeConfig(theta=50.0)
    local = dataclasses.replace(SMALL, window=30, windowed_layers=frozenset(range(3)), rope_local=rope)
    assert_same(random_transformer(local)(tokens), random_transformer(dataclasses.replace(SMALL, rope=rope))(tokens))


def test_a_factor_per_pair_can_say_what_llama3_does() -> None:
    """As in a GGUF file of Llama 3.1: by how much transformers stretches each pair."""
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    scaling |= {"original_max_position_embeddings": 8192, "rope_theta": 500_000.0}
    want, _ = ROPE_INIT_FUNCTIONS["llama3"](LlamaConfig(head_dim=64, rope_parameters=scaling), "cpu")
    plain = 500_000.0 ** -(torch.arange(0, 64, 2) / 64)
    factors = tuple((plain / want).tolist())
    assert len(set(factors)) > 4, "some are stretched in full, some a little, some not at all"
    for linear in (1.0, 2.0):
        rope = RopeConfig(theta=500_000.0, scaling="linear", factor=linear, factors=factors)
        assert_same(rope_frequencies(rope, 64), want / linear)
    assert_same(rope_frequencies(RopeConfig(theta=500_000.0, factors=factors), 64), want)


# --- the cache --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [[7] + [1] * 23, [30], [1] * 30, [16, 14], [1, 28, 1], [10, 1, 1, 1, 10, 7]])
@pytest.mark.parametrize("name", CONFIGS)
def test_cached_is_uncached(name: str, sizes: list[int]) -> None:
    transformer = random_transformer(CONFIGS[name])
    tokens = some_tokens(30)
    cache = new_cache(transformer)
    assert_same(in_pieces(transformer, tokens, cache, sizes), transformer(tokens))
    assert cache.length == 30


@pytest.mark.parametrize("name", CONFIGS)
def test_taps_see_the_same_with_a_cache(name: str) -> None:
    """Token by token and in pieces, the rows of a pass are those of one pass over everything."""
    transformer = random_transformer(CONFIGS[name])
    config, tokens, cache = transformer.config, some_tokens(20), new_cache(transformer)
    whole = Taps(config, tap_names(config))
    transformer(tokens, taps=whole)
    for piece in tokens.split([9, 1, 1, 8, 1], dim=1):
        taps, start = Taps(config, tap_names(config)), cache.length
        transformer(piece, cache, taps=taps)
        for tap, tensors in taps.seen.items():
            for got, want in zip(tensors, whole.seen[tap], strict=True):
                rows = slice(0 if tap in ("key", "value") else start, cache.length)
                columns = slice(cache.length if tap in ("scores", "weights") else None)
                assert_same(got, want[..., rows, columns])


@pytest.mark.parametrize("name", CONFIGS)
def test_rewind_and_branch_is_a_fresh_pass(name: str) -> None:
    transformer = random_transformer(CONFIGS[name])
    cache = new_cache(transformer)
    first, second = some_tokens(25, seed=1), some_tokens(12, seed=2)
    transformer(first, cache)
    for kept in (24, 10, 1, 0):
        cache.rewind(kept)
        branch = torch.cat((first[:, :kept], second), dim=1)
        got = in_pieces(transformer, second, cache, [5, 1, 6])
        assert_same(got, transformer(branch)[:, kept:])
        cache.rewind(kept)


@pytest.mark.parametrize("name", ["plain", "textbook", "some windows", "soft caps, sandwich"])
def test_growing_past_the_first_slab(name: str) -> None:
    transformer = random_transformer(CONFIGS[name])
    tokens = some_tokens(2 * GROWTH + 21)
    cache = new_cache(transformer)
    sizes = [GROWTH - 2, 1, 1, 1, 1, GROWTH - 3, 1, 1, 20]
    assert sum(sizes) == tokens.shape[1]
    assert_same(in_pieces(transformer, tokens, cache, sizes), transformer(tokens))
    assert cache.capacity == SMALL.context_length  # 3 * 256 is more than the context


def test_the_last_token_of_the_context_and_one_too_many() -> None:
    transformer = random_transformer(dataclasses.replace(SMALL, context_length=40))
    tokens = some_tokens(40)
    cache = new_cache(transformer)
    transformer(tokens[:, :39], cache)
    assert_same(transformer(tokens[:, 39:], cache), transformer(tokens)[:, 39:])
    with pytest.raises(ValueError, match="41 positions do not fit in a context of 40"):
        transformer(tokens[:, :1], cache)
    assert cache.length == 40


@pytest.mark.parametrize("name", CONFIGS)
def test_bfloat16_stays_near_float32(name: str) -> None:
    exact = random_transformer(CONFIGS[name])
    rough = random_transformer(CONFIGS[name])
    for parameter in rough.parameters():  # the tables stay in float32
        parameter.data = parameter.data.bfloat16()
    cache = KVCache(rough.config, device=torch.device("cpu"), dtype=torch.bfloat16)
    tokens = some_tokens(30)
    got = in_pieces(rough, tokens, cache, [20] + [1] * 10)
    assert got.dtype == torch.bfloat16
    logits, want = rough.unembed(got), exact.unembed(exact(tokens))
    assert logits.dtype == torch.float32
    assert nn.functional.cosine_similarity(logits, want, dim=-1).min() > 0.995


# --- configs that cannot be -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 0}, "n_layers must be at least 1, not 0"),
        ({"n_kv_heads": 3}, "4 query heads cannot share 3 key heads evenly"),
        ({"windowed_layers": frozenset({1})}, "window of at least 1 token, not None"),
        ({"windowed_layers": frozenset({1}), "window": 0}, "window of at least 1 token, not 0"),
        ({"windowed_layers": frozenset({3}), "window": 4}, "windowed_layers has layer 3, but there are only 3 layers"),
        ({"rope": RopeConfig(width=10)}, "rope width 10 is more than the 8 channels"),
        ({"d_head": 9}, "9 is odd"),
        ({"positions": "sinusoidal", "d_model": 33}, "d_model 33 is odd"),
        ({"nope_layers": frozenset({3})}, "nope_layers has layer 3, but there are only 3 layers"),
        ({"expert_layers": frozenset({-1})}, "expert_layers has layer -1, but there are only 3 layers"),
        ({"expert_layers": frozenset({0}), "n_experts_used": 2}, "a token cannot use 2 of 1 experts"),
        ({"n_experts": 0}, "n_experts must be at least 1, not 0"),
        ({"rope": RopeConfig(scaling="longrope")}, "longrope needs 4 factors, one per pair, not 0"),
        ({"rope_local": RopeConfig(width=10)}, "rope width 10 is more than the 8 channels"),
        ({"rope": RopeConfig(factors=(1.0,) * 3)}, "needs 4 factors, one per pair, not 3"),
        ({"rope": RopeConfig(factors=(1.0,) * 4, width=6)}, "needs 3 factors, one per pair, not 4"),
    ],
)
def test_a_config_that_contradicts_itself(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    "change",
    [
        *({"width": 0}, {"width": 3}, {"width": -2}, {"theta": 0.0}, {"factor": -1.0}, {"magnitude": 0.0}),
        *({"original_context": 0}, {"scaling": "yarn", "theta": 1.0}),
    ],
)
def test_a_rotary_embedding_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=str(list(change.values())[-1])):
        RopeConfig(**change)


def test_factors_that_cannot_be() -> None:
    for scaling in ("llama3", "yarn", "longrope"):
        with pytest.raises(ValueError, match=f"{scaling} stretches each pair in its own way"):
            RopeConfig(scaling=scaling, factors=(1.0,))
    for factor in (0.0, -2.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"must be above 0, not {factor}"):
            RopeConfig(factors=(1.0, factor))


def test_longrope_factors_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="1 short factors and 2 long ones"):
        RopeConfig(short_factors=(1.0,), long_factors=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"must be above 0, not -2\.0"):
        RopeConfig(short_factors=(1.0,), long_factors=(-2.0,))
