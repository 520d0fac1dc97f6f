"""What only a CUDA GPU can show: that real graphs and really compiled ones give the numbers of the ordinary pass.

Not run where it was written, as no GPU was at hand; `pytest tests/core -k cuda` on a machine with one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from core.backends.cuda_graph.bandwidth import read_bandwidth
from core.backends.cuda_graph.compiler import Compiler
from core.quantization.layers import packed_in
from core.quantization.packed import Packed
from core.quantization.packing import dequantize, quantize
from core.transformer import Transformer
from tests.core.support.gpu_models import FIXED, quantized_model
from tests.core.support.transformers import SMALL, random_transformer, some_tokens
from tests.support.decoders import decoder_of

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
GPU = torch.device("cuda")


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def compared(transformer: Transformer, *, dtype: torch.dtype = torch.float32, compiler: Compiler | None = None) -> str:
    """A prompt, tokens across the end of a bucket, a fork; returns how it was decoded in the end."""
    tolerance = 1e-3 if dtype == torch.float32 else 0.1
    ours = decoder_of(transformer, device=GPU, dtype=dtype, compiler=compiler)
    theirs = decoder_of(transformer, device=GPU, dtype=dtype, eager=True)
    ids = some_tokens(300)[0].tolist()
    for start, end in ((0, 20), (250, 262), (100, 110)):
        for decoder in (ours, theirs):
            decoder.rewind(min(start, len(decoder.ids)))
            list(decoder.prefill(ids[len(decoder.ids) : start]))
        for token in ids[start:end]:
            found, expected = ours.decode_one(token), theirs.decode_one(token)
            assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected)
            if compiler is not None:
                compiler.wait()
    assert ours.backend.fallback_reason is None
    assert compiler is None or compiler.fallback_reason is None
    return ours.backend.name


@pytest.mark.parametrize("name", FIXED)
def test_a_graph_is_the_ordinary_pass(name: str) -> None:
    assert compared(random_transformer(FIXED[name]).to(GPU)) == "CUDA graph"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_16_bits(dtype: torch.dtype) -> None:
    transformer = random_transformer(SMALL).to(GPU)
    for parameter in transformer.parameters():
        parameter.data = parameter.data.to(dtype)
    assert compared(transformer, dtype=dtype) == "CUDA graph"


def test_a_token_read_again_has_the_same_bits() -> None:
    decoder = decoder_of(random_transformer(SMALL).to(GPU), device=GPU, dtype=torch.float32)
    ids = some_tokens(30)[0].tolist()
    first = [decoder.decode_one(token) for token in ids]
    decoder.rewind(0)
    assert all(np.array_equal(decoder.decode_one(token), logits) for token, logits in zip(ids, first, strict=True))


@pytest.mark.parametrize("name", ["plain", "some windows", "soft caps, sandwich", "textbook"])
def test_compiled_it_is_the_ordinary_pass(name: str) -> None:
    assert compared(random_transformer(FIXED[name]).to(GPU), compiler=Compiler()) == "compiled CUDA graph"


@pytest.mark.parametrize("kind", ["int8", "int4"])
@pytest.mark.parametrize("compiled", [False, True])
def test_quantised(kind: str, compiled: bool) -> None:
    transformer = quantized_model(random_transformer(dataclasses.replace(SMALL, d_ff=64)).to(GPU), kind)
    assert all(one.weights.is_cuda for one in packed_in(transformer))
    compared(transformer, compiler=Compiler() if compiled else None)


@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_a_matrix_is_quantised_to_the_same_numbers_as_on_the_cpu(kind: Any) -> None:
    matrix = torch.randn(70, 96)
    here, there = quantize(matrix, kind), quantize(matrix.to(GPU), kind)
    assert isinstance(there, Packed)
    assert torch.equal(dequantize(there, torch.float32).cpu(), dequantize(here, torch.float32))


def test_the_bandwidth_is_that_of_a_gpu() -> None:
    assert read_bandwidth(1_000_000_000, GPU) > 1e11
