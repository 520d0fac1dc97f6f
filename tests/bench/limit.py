"""The fastest one stream can be written: bytes read for a token, over the bytes a second this machine can read.

    python -m tests.bench.limit [--megabytes N ...]

Every way of reading here walks a buffer in huge pages from end to end, on each thread a part of its own, and computes
next to nothing: glibc's `memcmp` of one half with the other (two streams), numpy's sum of integers (one), and the BLAS
product of a matrix and a vector (several rows, so several streams). Which is fastest depends on the processor, so the
best one counts. Other ways were slower here: `memchr` 0.7 x, torch's sums 0.85 x, its products in bf16 0.5 to 0.9 x.
A buffer that fits in a cache is read from there: measure with one the size of what is read for a token.
"""

from __future__ import annotations

import argparse
import ctypes
import mmap
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from core.backends.cuda_graph.bandwidth import read_bandwidth
from core.config import ModelConfig

COLUMNS = 16384  # of the matrix: a row of 64 KB
KEPT_AT = 2  # bytes of a key's or a value's number in the cache


def cache_bytes(config: ModelConfig, length: int) -> int:
    """Keys and values of so many positions in 16 bits, all of which are read for the next token."""
    return 2 * config.n_layers * config.n_kv_heads * config.d_head * length * KEPT_AT


class Reading:
    """A buffer and the fastest way to read it on some threads."""

    def __init__(self, n_bytes: int, threads: int) -> None:
        torch.set_num_threads(threads)
        self._pool = ThreadPoolExecutor(threads)
        unit = 2 * 4 * COLUMNS * threads  # two halves of whole rows for each thread
        self.n_bytes = max(1, n_bytes // unit) * unit
        floats = np.frombuffer(_huge_pages(self.n_bytes), np.float32)
        floats[:] = 1  # or every page would be the same one of zeros
        self._parts = np.split(floats, threads)
        self._matrix = torch.from_numpy(floats).view(-1, COLUMNS)
        self._ones = torch.ones(COLUMNS)
        ways = [self._sum, self._product, *([self._compare] if sys.platform == "linux" else [])]
        self._read = max(ways, key=lambda way: max(self._speed(way) for _ in range(5)))
        self.way = self._read.__name__.strip("_")

    def speed(self) -> float:
        """Bytes per second of one reading; in tenths of a second, so several of a small buffer."""
        return self._speed(self._read)

    def _speed(self, way: Callable[[], object]) -> float:
        way()  # what the caches still hold is as it is between two tokens
        start, times = time.perf_counter(), 0
        while (passed := time.perf_counter() - start) < 0.1:
            way()
            times += 1
        return self.n_bytes * times / passed

    def _sum(self) -> None:
        list(self._pool.map(lambda part: np.add.reduce(part.view(np.int64)), self._parts))

    def _product(self) -> None:
        torch.mv(self._matrix, self._ones)

    def _compare(self) -> None:
        list(self._pool.map(_compare_halves, self._parts))


class DeviceReading:
    """The memory of a GPU, read by torch's own sum and copy."""

    def __init__(self, n_bytes: int, device: str) -> None:
        self._n_bytes, self._device = n_bytes, torch.device(device)

    def speed(self) -> float:
        """Bytes per second."""
        return read_bandwidth(self._n_bytes, self._device, repeat=2)


def _compare_halves(part: np.ndarray) -> int:
    half = part.nbytes // 2
    first = ctypes.c_void_p(part.ctypes.data)
    second = ctypes.c_void_p(part.ctypes.data + half)
    return int(ctypes.CDLL(None).memcmp(first, second, ctypes.c_size_t(half)))


def _huge_pages(n_bytes: int) -> mmap.mmap | bytearray:
    """Memory that looks up few addresses, where the system has such."""
    if not hasattr(mmap, "MADV_HUGEPAGE"):
        return bytearray(n_bytes)
    memory = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, nargs="+", default=[10, 100, 300, 1000], help="sizes of the buffer")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    asked = parser.parse_args()
    for megabytes in asked.megabytes:
        for threads in asked.threads:
            reading = Reading(megabytes * 10**6, threads)
            speeds = sorted(reading.speed() / 1e9 for _ in range(9))
            print(
                f"{megabytes:6} MB, {threads} threads: {speeds[4]:6.1f} GB/s "
                f"({speeds[0]:.1f} to {speeds[-1]:.1f}, by {reading.way})",
                flush=True,
            )


if __name__ == "__main__":
    main()
