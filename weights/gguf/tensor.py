"""One tensor of a GGUF file, dequantized a few rows at a time. Knows no architecture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray

from core.errors import BadCheckpoint
from weights.layout import Index
from weights.untrusted.checked_json import show
from weights.untrusted.hints import COPY_AGAIN

if TYPE_CHECKING:
    from torch import Tensor

_K = GGMLQuantizationType
READABLE = frozenset(
    (
        *(_K.F32, _K.F16, _K.BF16, _K.Q8_0, _K.Q4_0, _K.Q4_1, _K.Q5_0, _K.Q5_1),
        *(_K.Q2_K, _K.Q3_K, _K.Q4_K, _K.Q5_K, _K.Q6_K, _K.IQ4_NL, _K.IQ4_XS, _K.TQ1_0, _K.TQ2_0),
        *(_K.IQ1_S, _K.IQ2_XXS, _K.IQ2_XS, _K.IQ2_S, _K.IQ3_XXS, _K.IQ3_S),
    )
)


@dataclass(frozen=True, kw_only=True)
class GgufTensor:
    """A tensor in a file, not read yet.

    Args:
        interleaved: if not 0, the rows of every so many (a head's) lie in the order 0, n/2, 1, n/2 + 1 ..., so that
            the two channels that are rotated together are neighbours; they are read in the order 0, 1, 2 ...
    """

    file: Path
    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    offset: int
    interleaved: int = 0

    @property
    def n_values(self) -> int:
        return prod(self.shape)

    @property
    def dtype(self) -> str:
        return self.kind.name

    @property
    def is_float(self) -> bool:
        return self.kind in READABLE

    def read(self, part: Index = (slice(None),)) -> Tensor:
        """Some rows, in float32: a slice of them all, or the number of a matrix in a stack and a slice of its rows.

        Raises:
            BadCheckpoint: the file is gone or shorter by now, or holds what is no number.
            ValueError: anything else, as nothing smaller than a row can be dequantized.
        """
        import torch  # a listing reads no tensor, and torch takes seconds to load

        match part:
            case (slice() as rows,):
                values = self._dequantized(rows)
            case (int() as number, slice() as rows) if len(self.shape) == 3:
                values = self._in_one()._dequantized(self._rows_of(number, rows))
            case _:
                raise ValueError(f"{self.name} is stored in rows, and {part} of {self.shape} are none")
        if not np.isfinite(values).all():
            raise BadCheckpoint(
                f"The tensor {show(self.name)} holds values that are not numbers.", "Copy or download the file again."
            )
        return torch.from_numpy(values)

    def _in_one(self) -> GgufTensor:
        """A stack of matrices as one, the second below the first."""
        return replace(self, shape=(self.shape[0] * self.shape[1], self.shape[2]))

    def _rows_of(self, number: int, rows: slice) -> slice:
        first, last, _ = rows.indices(self.shape[1])
        return slice(number * self.shape[1] + first, number * self.shape[1] + last)

    def _dequantized(self, rows: slice) -> NDArray[np.float32]:
        n_rows = 1 if len(self.shape) == 1 else self.shape[0]  # the channels of a vector are read all at once
        first, last, _ = rows.indices(self.shape[0])
        order = np.arange(first, last)
        if half := self.interleaved // 2:
            inside = order % self.interleaved
            order += inside % half * 2 + inside // half - inside
        low, high = (0, 1) if n_rows == 1 else (int(order.min()), int(order.max()) + 1)
        block, block_bytes = GGML_QUANT_SIZES[self.kind]
        row_bytes = self.n_values // n_rows // block * block_bytes
        stored = self._bytes(low * row_bytes, (high - low) * row_bytes).reshape(high - low, row_bytes)
        if n_rows > 1:
            stored = stored[order - low]
        with np.errstate(all="ignore"):  # what is no number is looked for afterwards
            values = np.asarray(dequantize(stored, self.kind), np.float32)
        values = values.reshape(-1)[order] if n_rows == 1 else values.reshape(len(order), *self.shape[1:])
        return np.ascontiguousarray(values)

    def _bytes(self, start: int, count: int) -> NDArray[np.uint8]:
        """Read, not mapped: what was copied is no longer in memory, and a file that shrinks is no fault of access."""
        try:
            with self.file.open("rb") as file:
                file.seek(self.offset + start)
                content = file.read(count)
        except OSError as error:
            raise BadCheckpoint(f"{self.file} cannot be read any more.", COPY_AGAIN) from error
        if len(content) < count:
            raise BadCheckpoint(f"{self.file} has become shorter.", COPY_AGAIN)
        return np.frombuffer(content, np.uint8)
