"""How fast this machine reads memory: the limit of decoding, where every weight is read for every token.

Must not know a model.
"""

from __future__ import annotations

import time

import torch

from core.native.arena import in_large_pages
from core.native.bindings import library


def read_bandwidth(n_bytes: int, *, n_threads: int, repeat: int = 5) -> float | None:
    """Bytes per second, the best of `repeat` passes over as many bytes; None without the C library.

    Weights that fit into the processor's cache are read from there, and so is this.
    """
    native = library()
    if native is None:
        return None
    memory = in_large_pages((-(-n_bytes // 64) * 16,), torch.float32, torch.device("cpu")).fill_(1)
    workspace = native.logitscope_create_workspace(n_threads, 1, 1)
    if workspace is None:
        raise MemoryError(f"{n_threads} threads could not be started")
    best = float("inf")
    for _ in range(repeat + 1):
        start = time.perf_counter()
        native.logitscope_bandwidth_pass(workspace, memory.data_ptr(), memory.nbytes)
        best = min(best, time.perf_counter() - start)
    native.logitscope_free_workspace(workspace)
    return memory.nbytes / best
