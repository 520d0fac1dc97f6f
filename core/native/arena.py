"""Memory in large pages: weights are read from end to end for every token, and with pages of 4 KB a third of that time
goes into looking up where the pages are. Must not know what the memory is for.

Linux gives them to whoever asks for them (madvise(2), MADV_HUGEPAGE); elsewhere this is ordinary memory.
"""

from __future__ import annotations

import ctypes
import functools
import math
import sys
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

_PAGE = 2 << 20
_CACHE_LINE = 64  # bytes that are read at once; every tensor begins at a new one
_HUGEPAGE = 14  # MADV_HUGEPAGE of Linux


class Arena:
    """One stretch of memory from which tensors are taken one after another, to be freed with the last of them."""

    def __init__(self, n_bytes: int, device: torch.device) -> None:
        self.device = device
        self._memory = in_large_pages((n_bytes,), torch.uint8, device)
        self._taken = 0

    @staticmethod
    def size_of(n_bytes: int) -> int:
        """How many bytes a tensor of so many takes."""
        return -(-n_bytes // _CACHE_LINE) * _CACHE_LINE

    def take(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """A tensor with whatever was in memory.

        Raises:
            ValueError: not that much is left.
        """
        n_bytes = math.prod(shape) * dtype.itemsize
        if self._taken + n_bytes > len(self._memory):
            raise ValueError(f"{n_bytes} bytes are wanted and {len(self._memory) - self._taken} are left")
        part = self._memory[self._taken : self._taken + n_bytes]
        self._taken += self.size_of(n_bytes)
        return part.view(dtype).view(*shape)


def in_large_pages(shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor with whatever was in memory, in large pages if it is large and on the CPU."""
    n_bytes = math.prod(shape) * dtype.itemsize
    advise = _madvise()
    if device.type != "cpu" or advise is None or n_bytes < 2 * _PAGE:
        return torch.empty(shape, dtype=dtype, device=device)
    memory = torch.empty(n_bytes + _PAGE, dtype=torch.uint8)
    start = -memory.data_ptr() % _PAGE
    advise(memory.data_ptr() + start, n_bytes // _PAGE * _PAGE, _HUGEPAGE)  # if it fails, these are ordinary pages
    return memory[start : start + n_bytes].view(dtype).view(*shape)


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    call = ctypes.CDLL(None).madvise
    call.argtypes, call.restype = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int], ctypes.c_int
    advise: Callable[[int, int, int], int] = call
    return advise
