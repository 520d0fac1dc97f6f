"""Layers with packed matrices, in place of torch's own. Knows no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.quantization import packing
from core.quantization.packed import ROWS, Packed

_SLICE = 4_000_000  # weights dequantized at a time: what is done with them is done while they are in the cache


class QuantizedLinear(nn.Module):
    """In place of `nn.Linear`: the matrix is unpacked slice by slice for each product, but not where that is compiled
    for a single token.
    """

    def __init__(self, packed: Packed, bias: Tensor | None) -> None:
        super().__init__()
        self.packed = packed
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        packed = self.packed
        if torch.compiler.is_compiling() and x.numel() == packed.columns:
            out = packing.fused_matmul(packed, x).to(x.dtype)
            return out if self.bias is None else out + self.bias
        step = max(ROWS, _SLICE // packed.columns // ROWS * ROWS)
        out = x.new_empty(*x.shape[:-1], packed.rows)
        for first in range(0, packed.rows, step):
            count = min(step, packed.rows - first)
            out[..., first : first + count] = F.linear(x, packing.dequantize(packed, x.dtype, first, count))
        return out if self.bias is None else out + self.bias


class QuantizedEmbedding(nn.Module):
    """In place of `nn.Embedding`: a row per token, in a number kind of our choice."""

    def __init__(self, packed: Packed, dtype: torch.dtype) -> None:
        super().__init__()
        self.packed, self.dtype = packed, dtype

    def forward(self, tokens: Tensor) -> Tensor:
        return packing.gather_rows(self.packed, tokens, self.dtype)


def install(transformer: nn.Module, packed: Mapping[str, Packed], dtype: torch.dtype) -> None:
    """Put layers with these matrices, by the names of the parameters they stand for, in the place of torch's own.

    Biases stay where they are. `dtype` is what an embedding gives out.
    """
    for name, matrix in packed.items():
        parent, _, own = name.removesuffix(".weight").rpartition(".")
        module = transformer.get_submodule(parent)
        old: Any = getattr(module, own)
        if isinstance(old, nn.Embedding):
            setattr(module, own, QuantizedEmbedding(matrix, dtype))
        else:
            setattr(module, own, QuantizedLinear(matrix, old.bias))


def packed_in(module: nn.Module) -> list[Packed]:
    """The quantized matrices of a module; one that is used twice counts once."""
    layers = [layer for layer in module.modules() if isinstance(layer, QuantizedLinear | QuantizedEmbedding)]
    return list({id(layer.packed): layer.packed for layer in layers}.values())
