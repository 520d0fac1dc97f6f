"""How fast this machine reads memory: the limit of decoding, where every weight is read for every token."""

from __future__ import annotations

import time

import torch

from core.native.arena import in_large_pages
from core.native.bindings import library


def read_bandwidth(n_bytes: int, *, n_threads: int, repeat: int = 5) -> float | None:
    """Bytes per second, the best of so many readings of as many bytes; None without the C library.

    Weights that fit into the processor's cache are read from there, and so is this.
    """
    found = library()
    if found is None:
        return None
    memory = in_large_pages((-(-n_bytes // 64) * 16,), torch.float32, torch.device("cpu")).fill_(1)
    pool = found.logitscope_pool(n_threads, 1, 1)
    if pool is None:
        raise MemoryError(f"{n_threads} threads could not be started")
    best = float("inf")
    for _ in range(repeat + 1):
        start = time.perf_counter()
        found.logitscope_add_up(pool, memory.data_ptr(), memory.nbytes)
        best = min(best, time.perf_counter() - start)
    found.logitscope_free(pool)
    return memory.nbytes / best
