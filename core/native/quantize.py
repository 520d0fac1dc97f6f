"""Matrices quantized and dequantized by the C library. Must not know a model."""

from __future__ import annotations

import functools
import os
from ctypes import byref
from typing import Protocol

import torch
from torch import Tensor

from core.native.bindings import BF16, F32, INT4, INT8, Matrix, library

FORMATS = {torch.float32: F32, torch.bfloat16: BF16}


class PackedMatrix(Protocol):
    """What the library has to know of a `core.quantization.packed.Packed`, which has the layout of csrc/api.h."""

    @property
    def kind(self) -> str:
        """int8 or int4."""
        ...

    @property
    def rows(self) -> int: ...

    @property
    def columns(self) -> int: ...

    @property
    def height(self) -> int:
        """Rows of a block: 16, or 1 where the matrix is laid out for a GPU."""
        ...

    @property
    def weights(self) -> Tensor: ...

    @property
    def scales(self) -> Tensor: ...


def matrix_of(packed: PackedMatrix) -> Matrix:
    """A quantized matrix, without a bias, as the library sees it."""
    return Matrix(
        format=INT8 if packed.kind == "int8" else INT4,
        rows=packed.rows,
        columns=packed.columns,
        weights=packed.weights.data_ptr(),
        scales=packed.scales.data_ptr(),
    )


def dequantize(packed: PackedMatrix, dtype: torch.dtype, first: int, count: int) -> Tensor | None:
    """Rows of a quantized matrix as (count, columns); None where the library is absent or the matrix is elsewhere.

    Args:
        first: a multiple of 16.
    """
    native = library()
    if native is None or not _has_native_layout(packed):
        return None
    out_dtype = dtype if dtype in FORMATS else torch.float32
    out = torch.empty(count, packed.columns, dtype=out_dtype)
    matrix = matrix_of(packed)
    native.logitscope_dequantize(_workspace(), byref(matrix), first, count, FORMATS[out_dtype], out.data_ptr())
    return out.to(dtype)


def quantize(packed: PackedMatrix, first: int, values: Tensor) -> bool:
    """Quantize values (n, columns) into rows of a matrix that are still empty; False where the library is absent.

    Args:
        first: a multiple of 16.
    """
    native = library()
    if native is None or not _has_native_layout(packed) or values.device.type != "cpu":
        return False
    rows = values.float().contiguous()
    native.logitscope_quantize(_workspace(), byref(matrix_of(packed)), first, len(rows), rows.data_ptr())
    return True


def _has_native_layout(packed: PackedMatrix) -> bool:
    return packed.weights.device.type == "cpu" and packed.height != 1


@functools.cache
def _workspace() -> int:
    """Threads for this alone, kept as long as the program runs. A process that forks itself leaves them behind."""
    native = library()
    assert native is not None
    workspace: int | None = native.logitscope_create_workspace(torch.get_num_threads(), 1, 1)
    if workspace is None:
        raise MemoryError("no threads could be started")
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_workspace.cache_clear)
    return workspace
