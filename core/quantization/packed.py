"""Matrices in 8 or 4 bits per weight: how they are packed, and the layers that use them in place of torch's own.

Each group of 32 neighbouring columns of a row has one scale, in float16, so a weight takes 8.5 or 4.5 bits, as
in llama.cpp's Q8_0 and Q4_0, which are kept to the last bit. The layout, made for reading 16 rows at a time, is
described in core/native/csrc/api.h; anywhere but on the CPU a block is a single row, and the numbers are the same.
Knows no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.native import quantize as packing
from core.native.arena import Arena
from core.quantization.formats import GROUP, Kind

ROWS = 16  # of a block
_FACTORS = (0.96, 0.92, 0.88, 0.84)  # of the scale that keeps the largest in 4 bits
_SLICE = 4_000_000  # weights unpacked at a time: what is done with them is done while they are in the cache


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A matrix (rows, columns), quantised."""

    kind: Kind
    rows: int
    columns: int
    weights: Tensor  # uint8 (blocks, groups, 8, height, 4), or (blocks, groups, 4, height, 4) with two values to a byte
    scales: Tensor  # float16 (blocks, groups, height)

    @property
    def n_bytes(self) -> int:
        return self.weights.nbytes + self.scales.nbytes

    @property
    def height(self) -> int:
        """Rows of a block: 16 or 1."""
        return self.scales.shape[2]

    @classmethod
    def empty(cls, rows: int, columns: int, kind: Kind, arena: Arena | None = None) -> Packed:
        """Room for a matrix, to be filled by `put`.

        Args:
            arena: where it is taken from; None: memory of its own, on the CPU.

        Raises:
            ValueError: its rows cannot be cut into groups.
        """
        if columns % GROUP:
            raise ValueError(f"{columns} columns cannot be cut into groups of {GROUP}")
        arena = arena or Arena(cls.size(rows, columns, kind), torch.device("cpu"))
        height = ROWS if arena.device.type == "cpu" else 1
        blocks, groups = -(-rows // height), columns // GROUP
        weights = arena.take((blocks, groups, 8 if kind == "int8" else 4, height, 4), torch.uint8)
        scales = arena.take((blocks, groups, height), torch.float16)
        return cls(kind=kind, rows=rows, columns=columns, weights=weights.zero_(), scales=scales.zero_())

    @staticmethod
    def size(rows: int, columns: int, kind: Kind) -> int:
        """The bytes a matrix takes of an arena, at most."""
        scales = -(-rows // ROWS) * ROWS * (columns // GROUP)
        return Arena.size_of(scales * (GROUP if kind == "int8" else GROUP // 2)) + Arena.size_of(scales * 2)

    def put(self, first: int, values: Tensor) -> None:
        """Quantise values (n, columns) into the rows from `first` on, a multiple of 16, as is n but at the end.

        Raises:
            ValueError: they are not, or have another number of columns.
        """
        n = len(values)
        if values.shape[1] != self.columns:
            raise ValueError(f"rows of {values.shape[1]} columns do not belong into a matrix of {self.columns}")
        if first % ROWS or (n % ROWS and first + n != self.rows):
            raise ValueError(f"rows {first} to {first + n} of {self.rows} are no whole blocks of {ROWS}")
        if self.height != ROWS:  # packed as on the CPU, so that a model has the same numbers everywhere
            rows = in_rows(pack(values.cpu(), self.kind))
            self.weights[first : first + n], self.scales[first : first + n] = rows.weights, rows.scales
            return
        if packing.pack(self, first, values):
            return
        if n % ROWS:
            values = F.pad(values, (0, 0, 0, -n % ROWS))
        quants, scales = _rounded(values.float().view(-1, ROWS, self.columns // GROUP, GROUP), self.kind)
        quants = quants.view(*quants.shape[:3], 8, 4).permute(0, 2, 3, 1, 4)  # (blocks, groups, 8, 16, 4)
        if self.kind == "int4":
            quants = quants[:, :, 0::2] | quants[:, :, 1::2] << 4
        blocks = slice(first // ROWS, first // ROWS + len(quants))
        self.weights[blocks] = quants
        self.scales[blocks] = scales.transpose(1, 2)

    def unpack(self, dtype: torch.dtype, first: int = 0, count: int | None = None) -> Tensor:
        """Some rows as (count, columns); all of them, if no count is given.

        Args:
            first: a multiple of 16.
        """
        count = self.rows - first if count is None else count
        fast = packing.unpack(self, dtype, first, count)
        return self._unpacked(dtype, first, count) if fast is None else fast

    def _unpacked(self, dtype: torch.dtype, first: int, count: int) -> Tensor:
        blocks = slice(first // self.height, -(-(first + count) // self.height))
        return _values(self.weights[blocks], self.scales[blocks], self.kind)[:count].to(dtype)

    def take(self, rows: Tensor, dtype: torch.dtype) -> Tensor:
        """These rows (...,) as (..., columns)."""
        block, row = rows // self.height, rows % self.height
        chosen = self.weights[block, :, :, row][..., None, :]  # (..., groups, 8 or 4, 1, 4): blocks of one row
        values = _values(chosen.flatten(0, -5), self.scales[block, :, row][..., None].flatten(0, -3), self.kind)
        return values.view(*rows.shape, self.columns).to(dtype)

    def multiplied(self, x: Tensor) -> Tensor:
        """The product (..., rows) with x (..., columns) as one sum in float32, of which a compiler makes one loop.

        Uncompiled, it would take four bytes of memory for every weight.
        """
        x = x.float().view(*x.shape[:-1], 1, self.columns // GROUP, 8, 1, 4)  # (..., 1, groups, 8, 1, 4)
        if self.kind == "int8":
            products = (self.weights.float() - 128) * x  # (..., blocks, groups, 8, height, 4)
        else:
            low, high = (self.weights & 15).float() - 8, (self.weights >> 4).float() - 8
            products = low * x[..., 0::2, :, :] + high * x[..., 1::2, :, :]  # (..., blocks, groups, 4, height, 4)
        sums = (products * self.scales[:, :, None, :, None].float()).sum((-4, -3, -1))  # (..., blocks, height)
        return sums.flatten(-2)[..., : self.rows]


def in_rows(packed: Packed) -> Packed:
    """The same matrix, each row a block of its own."""
    weights = packed.weights.permute(0, 3, 1, 2, 4).flatten(0, 1)[: packed.rows, :, :, None]
    scales = packed.scales.transpose(1, 2).flatten(0, 1)[: packed.rows, :, None]
    return replace(packed, weights=weights.contiguous(), scales=scales.contiguous())


def pack(matrix: Tensor, kind: Kind) -> Packed:
    """Quantise a matrix (rows, columns).

    Raises:
        ValueError: its rows cannot be cut into groups.
    """
    rows, columns = matrix.shape
    packed = Packed.empty(rows, columns, kind, Arena(Packed.size(rows, columns, kind), matrix.device))
    packed.put(0, matrix)
    return packed


def _rounded(values: Tensor, kind: Kind) -> tuple[Tensor, Tensor]:
    """uint8 numbers (..., 32) and float16 scales (...) for values (..., 32).

    In 8 bits the largest size becomes 127. In 4 bits the largest becomes -8, on whichever side it lies, or is cut off
    by a somewhat smaller scale where the group as a whole is nearer to the truth then; what fits exactly stays exact.
    """
    if kind == "int8":
        scales = (values.abs().amax(-1) / 127).half()
        return _quants(values, scales, 128, 255), scales
    largest = values.gather(-1, values.abs().argmax(-1, keepdim=True)).squeeze(-1)
    scales = (largest / -8).half()
    quants = _quants(values, scales, 8, 15)
    error = _squared_error(values, quants, scales)
    for factor in _FACTORS:
        other = (largest / -8 * factor).half()
        tried = _quants(values, other, 8, 15)
        its_error = _squared_error(values, tried, other)
        better = its_error < error
        error = torch.where(better, its_error, error)
        scales = torch.where(better, other, scales)
        quants = torch.where(better[..., None], tried, quants)
    return quants, scales


def _quants(values: Tensor, scales: Tensor, offset: int, most: int) -> Tensor:
    inverse = torch.where(scales == 0, 0.0, 1 / scales.float())
    return (values * inverse[..., None] + offset).round().clamp(0, most).byte()


def _squared_error(values: Tensor, quants: Tensor, scales: Tensor) -> Tensor:
    return ((quants.float() - 8) * scales[..., None].float() - values).square().sum(-1)


def _values(weights: Tensor, scales: Tensor, kind: Kind) -> Tensor:
    """(blocks * rows, columns) of weights (blocks, groups, 8 or 4, rows, 4) and scales (blocks, groups, rows)."""
    if kind == "int4":
        weights = torch.stack((weights & 15, weights >> 4), dim=3).flatten(2, 3)  # (blocks, groups, 8, rows, 4)
    quants = weights.permute(0, 3, 1, 2, 4).flatten(3).float() - (128 if kind == "int8" else 8)
    return (quants * scales.transpose(1, 2)[..., None].float()).flatten(2).flatten(0, 1)  # (blocks * rows, columns)


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
            out = packed.multiplied(x).to(x.dtype)
            return out if self.bias is None else out + self.bias
        step = max(ROWS, _SLICE // packed.columns // ROWS * ROWS)
        out = x.new_empty(*x.shape[:-1], packed.rows)
        for first in range(0, packed.rows, step):
            count = min(step, packed.rows - first)
            out[..., first : first + count] = F.linear(x, packed.unpack(x.dtype, first, count))
        return out if self.bias is None else out + self.bias


class QuantizedEmbedding(nn.Module):
    """In place of `nn.Embedding`: a row per token, in a number kind of our choice."""

    def __init__(self, packed: Packed, dtype: torch.dtype) -> None:
        super().__init__()
        self.packed, self.dtype = packed, dtype

    def forward(self, tokens: Tensor) -> Tensor:
        return self.packed.take(tokens, self.dtype)


def install(transformer: nn.Module, packed: Mapping[str, Packed], dtype: torch.dtype) -> None:
    """Put layers with these matrices, by the names of the parameters they stand for, in the place of torch's own.

    Biases stay where they are. `dtype` is what an embedding gives out.
    """
    for name, matrix in packed.items():
        parent, _, own = name.removesuffix(".weight").rpartition(".")
        room = transformer.get_submodule(parent)
        old: Any = getattr(room, own)
        if isinstance(old, nn.Embedding):
            setattr(room, own, QuantizedEmbedding(matrix, dtype))
        else:
            setattr(room, own, QuantizedLinear(matrix, old.bias))


def packed_in(module: nn.Module) -> list[Packed]:
    """The quantised matrices of a module; one that is used twice counts once."""
    layers = [one for one in module.modules() if isinstance(one, QuantizedLinear | QuantizedEmbedding)]
    return list({id(one.packed): one.packed for one in layers}.values())
