"""Small transformers of random numbers, one for every arrangement, and what is asked of them. Knows no test."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor, nn

from core.config import ModelConfig, RopeConfig
from core.kv_cache import KVCache
from core.transformer import Transformer

SMALL = ModelConfig(
    vocab_size=101, context_length=600, n_layers=3, n_heads=4, n_kv_heads=2, d_model=32, d_head=8, d_ff=48
)
BIASES = {"qkv_bias": True, "output_bias": True, "mlp_bias": True}
TEXTBOOK = dataclasses.replace(
    SMALL,
    n_kv_heads=4,
    positions="sinusoidal",
    embedding_scale=32**0.5,
    norm="layer",
    residual="post",
    activation="relu",
    gated=False,
    tied_embeddings=False,
    head_bias=True,
    **BIASES,
)
CONFIGS = {
    "plain": SMALL,
    "textbook": TEXTBOOK,
    "learned positions": dataclasses.replace(SMALL, positions="learned", norm="layer", gated=False, **BIASES),
    "window": dataclasses.replace(SMALL, window=5, windowed_layers=frozenset(range(3))),
    "window of one": dataclasses.replace(SMALL, window=1, windowed_layers=frozenset({1})),
    "some windows": dataclasses.replace(
        SMALL, window=6, windowed_layers=frozenset({0, 2}), rope_local=RopeConfig(theta=100.0), qk_norm=True
    ),
    "soft caps, sandwich": dataclasses.replace(
        SMALL, attention_softcap=2.0, logit_softcap=3.0, residual="sandwich", window=7, windowed_layers=frozenset({1})
    ),
    "parallel, partial rope": dataclasses.replace(SMALL, residual="parallel", rope=RopeConfig(width=4), norm="layer"),
    "one key head": dataclasses.replace(SMALL, n_kv_heads=1),
    "stretched": dataclasses.replace(SMALL, rope=RopeConfig(scaling="llama3", factor=8.0, original_context=32)),
    "a factor per pair": dataclasses.replace(
        SMALL, rope=RopeConfig(scaling="linear", factor=2.0, factors=(1.0, 1.5, 4.0, 8.0))
    ),
    "yarn": dataclasses.replace(SMALL, rope=RopeConfig(scaling="yarn", factor=4.0, original_context=16, magnitude=1.1)),
    "some without rope": dataclasses.replace(
        SMALL, nope_layers=frozenset({1, 2}), window=6, windowed_layers=frozenset({0, 1})
    ),
    "norms of branches, across heads": dataclasses.replace(
        SMALL, residual="branch", qk_norm=True, qk_norm_over="all heads", residual_scale=0.7, logit_scale=0.5
    ),
    "parallel, two norms, a norm per head": dataclasses.replace(
        SMALL, residual="parallel, two norms", norm="layer", qk_norm=True, qk_norm_over="own head"
    ),
    "sines first": dataclasses.replace(TEXTBOOK, sinusoids="halves", position_offset=2),
    "experts": dataclasses.replace(
        SMALL, expert_layers=frozenset({0, 2}), n_experts=5, n_experts_used=2, d_expert=24, renormalised=False
    ),
}


def random_transformer(config: ModelConfig) -> Transformer:
    torch.manual_seed(0)
    transformer = Transformer(config).eval()
    for parameter in transformer.parameters():  # norms and biases too, or a missed one would not show
        nn.init.normal_(parameter, std=0.3)
    return transformer


def new_cache(transformer: Transformer) -> KVCache:
    return KVCache(transformer.config, device=torch.device("cpu"), dtype=torch.float32)


def some_tokens(n: int, seed: int = 1) -> Tensor:
    return torch.randint(0, SMALL.vocab_size, (1, n), generator=torch.Generator().manual_seed(seed))


def assert_same(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
