"""How fast a GPU reads its memory: the limit of decoding, where every weight is read for every token."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

_TIMES = 20  # readings between two looks at the clock


def read_bandwidth(n_bytes: int, device: torch.device, *, repeat: int = 5) -> float:
    """Bytes per second, the best of so many readings of as many bytes, by adding them up or by copying half of them to
    the other half, whichever is faster.

    Weights that fit into the GPU's cache are read from there, and so is this.
    """
    memory = torch.ones(max(2, n_bytes // 8 * 2), dtype=torch.float32, device=device)
    half = len(memory) // 2
    best = 0.0
    for work in (memory.sum, lambda: memory[:half].copy_(memory[half:])):  # what is copied is read and written
        best = max(best, *(memory.nbytes * _TIMES / _seconds(work, device) for _ in range(repeat + 1)))
    return best


def _seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    wait(device)
    start = time.perf_counter()
    for _ in range(_TIMES):
        work()
    wait(device)
    return time.perf_counter() - start


def wait(device: torch.device) -> None:
    """Until everything that the device was asked to do is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
