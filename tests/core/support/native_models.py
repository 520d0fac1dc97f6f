"""Small models of random numbers for the tests of the C library, read by it and by torch. Knows no test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from core.backends.native import NativeBackend
from core.config import ModelConfig, RopeConfig
from core.kv_cache import KVCache
from core.native import bindings as native
from core.native.bindings import MAX_STEP_TOKENS
from core.quantization.layers import QuantizedEmbedding, QuantizedLinear, install
from core.quantization.packing import dequantize, quantize
from core.transformer import Transformer
from tests.core.support.transformers import SMALL

CPU = torch.device("cpu")
ODD = {  # sizes that fill no vector, no group and no block
    "odd sizes": replace(SMALL, vocab_size=83, d_model=50, d_head=10, n_heads=6, n_kv_heads=3, d_ff=37),
    "wide heads": replace(SMALL, n_heads=7, n_kv_heads=1, d_head=144, rope=RopeConfig(width=100)),
    "relu, not gated": replace(SMALL, activation="relu", gated=False, mlp_bias=True),
    "gelu": replace(SMALL, activation="gelu"),
    "plain experts": replace(
        SMALL, expert_layers=frozenset({1}), n_experts=9, n_experts_used=8, d_expert=20, gated=False, mlp_bias=True
    ),
    "wide windows": replace(SMALL, window=70, windowed_layers=frozenset({0, 1})),
    "gelu by tanh": replace(SMALL, activation="gelu_tanh", embedding_scale=6.0),
}
LONG = replace(  # turned otherwise as soon as there are more than 20 tokens
    SMALL,
    rope=RopeConfig(
        scaling="longrope", original_context=20, short_factors=(1.0,) * 4, long_factors=(1.0, 2.0, 3.0, 9.0)
    ),
)


def without_gradients() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.inference_mode():
        yield


def using(target: str) -> Iterator[str]:
    """The library with these instructions, then with the best ones again."""
    found = native.library()
    assert found is not None
    try:
        if not found.logitscope_select_kernels(target.encode()):
            pytest.skip(f"this processor has no {target}")
        assert found.logitscope_kernels_name().decode() == target
        yield target
    finally:
        found.logitscope_select_kernels(None)


def model(config: ModelConfig, dtype: torch.dtype = torch.float32) -> Transformer:
    """Of random numbers; norms too, or one that is left out would not show."""
    transformer = Transformer(config)
    for name, parameter in transformer.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.3)
    return transformer.to(dtype).eval()


def exactly(transformer: Transformer) -> Transformer:
    """The same weights, and the quantized ones dequantized, in float64."""
    weights = dict(transformer.state_dict())
    for name, module in transformer.named_modules():
        if isinstance(module, QuantizedLinear | QuantizedEmbedding):
            weights[f"{name}.weight"] = dequantize(module.packed, torch.float32)
    exact = Transformer(transformer.config).double().eval()
    exact.load_state_dict({name: weight.double() for name, weight in weights.items()})
    return exact


def cache_of(config: ModelConfig, dtype: torch.dtype = torch.float32) -> KVCache:
    return KVCache(config, device=CPU, dtype=dtype)


def in_parts(ids: list[int]) -> Iterator[list[int]]:
    """One token, then two, and so on up to as many as a step takes, and again."""
    start = 0
    while start < len(ids):
        for size in range(1, MAX_STEP_TOKENS + 1):
            if part := ids[start : start + size]:
                yield part
            start += size


def by_c(transformer: Transformer, ids: list[int], *, dtype: torch.dtype = torch.float32, n_threads: int = 2) -> Tensor:
    """Logits (len(ids), vocab)."""
    backend = NativeBackend(transformer, dtype=dtype, n_threads=n_threads)
    cache, logits = cache_of(transformer.config, dtype), []
    for part in in_parts(ids):
        hidden = torch.empty(len(part), transformer.config.d_model, dtype=dtype)
        backend.forward(part, cache, hidden)
        logits.append(torch.from_numpy(backend.logits(hidden)))
    return torch.cat(logits)


def by_torch(transformer: Transformer, ids: list[int], *, dtype: torch.dtype = torch.float32) -> Tensor:
    cache = cache_of(transformer.config, dtype)
    hidden = [transformer(torch.tensor([part]), cache)[0] for part in in_parts(ids)]
    return transformer.unembed(torch.cat(hidden))


def some_ids(config: ModelConfig, count: int = 50) -> list[int]:
    return torch.randint(0, config.vocab_size, (count,)).tolist()


def quantize_model(transformer: Transformer, kind: str) -> None:
    names = ("query", "key", "value", "output", "gate", "up", "down")  # of experts too
    packed = {
        f"{name}.weight": quantize(module.weight, kind)
        for name, module in transformer.named_modules()
        if name.endswith(names) and module.weight.shape[1] % 32 == 0
    }
    ends = quantize(transformer.head.weight, "int8")
    install(transformer, packed | {"embedding.weight": ends, "head.weight": ends}, transformer.norm.weight.dtype)
