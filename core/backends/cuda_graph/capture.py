"""Every line that only CUDA can run: recording work as a graph, and fetching what came of it. Knows no model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from numpy.typing import NDArray
from torch import Tensor

Work = Callable[[], None]  # reads and writes at fixed addresses, and gives nothing back
_WARM_UP = 3  # libraries choose their kernels and take their memory then, which a recording may not


class Capturer(Protocol):
    """Something that can do the same work again and again."""

    def capture(self, work: Work) -> Work:
        """Work that does the same, with whatever stands at the addresses then."""
        ...

    def fetch(self, result: Tensor) -> NDArray:  # type: ignore[type-arg]
        """A copy on the CPU, made when all the work before is done. Overwritten by the next one of its shape."""
        ...


class CudaCapturer:
    """CUDA graphs: one call starts all kernels of the work."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._fetched: dict[torch.Size, Tensor] = {}

    def capture(self, work: Work) -> Work:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            for _ in range(_WARM_UP):
                work()
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            work()
        return graph.replay

    def fetch(self, result: Tensor) -> NDArray:  # type: ignore[type-arg]
        if result.shape not in self._fetched:  # in pages that stay where they are, which the GPU can write by itself
            self._fetched[result.shape] = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
        copy = self._fetched[result.shape]
        copy.copy_(result, non_blocking=True)
        torch.cuda.current_stream(self._device).synchronize()
        return copy.numpy()
