"""A matrix in 8 or 4 bits per weight, and how it lies in memory: plain data. Knows no model, and no arithmetic.

Each group of 32 neighbouring columns of a row has one scale, in float16, so a weight takes 8.5 or 4.5 bits, as
in llama.cpp's Q8_0 and Q4_0, which are kept to the last bit. The layout, made for reading 16 rows at a time, is
described in core/native/csrc/api.h; anywhere but on the CPU a block is a single row, and the numbers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from core.native.arena import Arena
from core.quantization.formats import GROUP, Kind

ROWS = 16  # of a block


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A matrix (rows, columns), quantized."""

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
        """Room for a matrix, to be filled by `packing.write_rows`.

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


def in_rows(packed: Packed) -> Packed:
    """The same matrix, each row a block of its own."""
    weights = packed.weights.permute(0, 3, 1, 2, 4).flatten(0, 1)[: packed.rows, :, :, None]
    scales = packed.scales.transpose(1, 2).flatten(0, 1)[: packed.rows, :, None]
    return replace(packed, weights=weights.contiguous(), scales=scales.contiguous())
