"""Numbers into a packed matrix and out of it, by the C library where it is there, else by torch. Knows no model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from core.native import quantize as native
from core.native.arena import Arena
from core.quantization.formats import GROUP, Kind
from core.quantization.packed import ROWS, Packed, in_rows

_FACTORS = (0.96, 0.92, 0.88, 0.84)  # of the scale that keeps the largest in 4 bits


def quantize(matrix: Tensor, kind: Kind) -> Packed:
    """Quantize a matrix (rows, columns).

    Raises:
        ValueError: its rows cannot be cut into groups.
    """
    rows, columns = matrix.shape
    packed = Packed.empty(rows, columns, kind, Arena(Packed.size(rows, columns, kind), matrix.device))
    write_rows(packed, 0, matrix)
    return packed


def write_rows(packed: Packed, first: int, values: Tensor) -> None:
    """Quantize values (n, columns) into the rows from `first` on, a multiple of 16, as is n but at the end.

    Raises:
        ValueError: they are not, or have another number of columns.
    """
    n = len(values)
    if values.shape[1] != packed.columns:
        raise ValueError(f"rows of {values.shape[1]} columns do not belong into a matrix of {packed.columns}")
    if first % ROWS or (n % ROWS and first + n != packed.rows):
        raise ValueError(f"rows {first} to {first + n} of {packed.rows} are no whole blocks of {ROWS}")
    if packed.height != ROWS:  # packed as on the CPU, so that a model has the same numbers everywhere
        rows = in_rows(quantize(values.cpu(), packed.kind))
        packed.weights[first : first + n], packed.scales[first : first + n] = rows.weights, rows.scales
        return
    if native.quantize(packed, first, values):
        return
    if n % ROWS:
        values = F.pad(values, (0, 0, 0, -n % ROWS))
    quants, scales = _rounded(values.float().view(-1, ROWS, packed.columns // GROUP, GROUP), packed.kind)
    quants = quants.view(*quants.shape[:3], 8, 4).permute(0, 2, 3, 1, 4)  # (blocks, groups, 8, 16, 4)
    if packed.kind == "int4":
        quants = quants[:, :, 0::2] | quants[:, :, 1::2] << 4
    blocks = slice(first // ROWS, first // ROWS + len(quants))
    packed.weights[blocks] = quants
    packed.scales[blocks] = scales.transpose(1, 2)


def dequantize(packed: Packed, dtype: torch.dtype, first: int = 0, count: int | None = None) -> Tensor:
    """Some rows as (count, columns); all of them, if no count is given.

    Args:
        first: a multiple of 16.
    """
    count = packed.rows - first if count is None else count
    in_c = native.dequantize(packed, dtype, first, count)
    return dequantize_in_torch(packed, dtype, first, count) if in_c is None else in_c


def dequantize_in_torch(packed: Packed, dtype: torch.dtype, first: int, count: int) -> Tensor:
    """The same without the library."""
    blocks = slice(first // packed.height, -(-(first + count) // packed.height))
    return _values(packed.weights[blocks], packed.scales[blocks], packed.kind)[:count].to(dtype)


def gather_rows(packed: Packed, rows: Tensor, dtype: torch.dtype) -> Tensor:
    """These rows (...,) as (..., columns)."""
    block, row = rows // packed.height, rows % packed.height
    chosen = packed.weights[block, :, :, row][..., None, :]  # (..., groups, 8 or 4, 1, 4): blocks of one row
    values = _values(chosen.flatten(0, -5), packed.scales[block, :, row][..., None].flatten(0, -3), packed.kind)
    return values.view(*rows.shape, packed.columns).to(dtype)


def fused_matmul(packed: Packed, x: Tensor) -> Tensor:
    """The product (..., rows) with x (..., columns) as one sum in float32, of which a compiler makes one loop.

    Uncompiled, it would take four bytes of memory for every weight.
    """
    x = x.float().view(*x.shape[:-1], 1, packed.columns // GROUP, 8, 1, 4)  # (..., 1, groups, 8, 1, 4)
    if packed.kind == "int8":
        products = (packed.weights.float() - 128) * x  # (..., blocks, groups, 8, height, 4)
    else:
        low, high = (packed.weights & 15).float() - 8, (packed.weights >> 4).float() - 8
        products = low * x[..., 0::2, :, :] + high * x[..., 1::2, :, :]  # (..., blocks, groups, 4, height, 4)
    sums = (products * packed.scales[:, :, None, :, None].float()).sum((-4, -3, -1))  # (..., blocks, height)
    return sums.flatten(-2)[..., : packed.rows]


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
