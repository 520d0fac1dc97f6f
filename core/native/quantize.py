"""Matrices quantised, and turned back into numbers, by the C library. Knows no model."""

from __future__ import annotations

import functools
import os
from ctypes import byref
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from core.native.bindings import BF16, F32, INT4, INT8, Matrix, library

if TYPE_CHECKING:
    from core.quantization.packed import Packed

FORMATS = {torch.float32: F32, torch.bfloat16: BF16}


def matrix_of(packed: Packed) -> Matrix:
    """A quantised matrix, without a bias, as the library sees it."""
    return Matrix(
        format=INT8 if packed.kind == "int8" else INT4,
        rows=packed.rows,
        columns=packed.columns,
        weights=packed.weights.data_ptr(),
        scales=packed.scales.data_ptr(),
    )


def unpack(packed: Packed, dtype: torch.dtype, first: int, count: int) -> Tensor | None:
    """Rows of a quantised matrix as (count, columns); None where the library is absent or the matrix is elsewhere.

    Args:
        first: a multiple of 16.
    """
    found = library()
    if found is None or not _is_in_its_layout(packed):
        return None
    written = dtype if dtype in FORMATS else torch.float32
    out = torch.empty(count, packed.columns, dtype=written)
    found.logitscope_unpack(_pool(), byref(matrix_of(packed)), first, count, FORMATS[written], out.data_ptr())
    return out.to(dtype)


def pack(packed: Packed, first: int, values: Tensor) -> bool:
    """Quantise values (n, columns) into rows of a matrix that are still empty; False where the library is absent.

    Args:
        first: a multiple of 16.
    """
    found = library()
    if found is None or not _is_in_its_layout(packed) or values.device.type != "cpu":
        return False
    rows = values.float().contiguous()
    found.logitscope_pack(_pool(), byref(matrix_of(packed)), first, len(rows), rows.data_ptr())
    return True


def _is_in_its_layout(packed: Packed) -> bool:
    return packed.weights.device.type == "cpu" and packed.height != 1


@functools.cache
def _pool() -> int:
    """Threads for this alone, kept as long as the program runs. A process that forks itself leaves them behind."""
    found = library()
    assert found is not None
    pool: int | None = found.logitscope_pool(torch.get_num_threads(), 1, 1)
    if pool is None:
        raise MemoryError("no threads could be started")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_pool.cache_clear)
    return pool
