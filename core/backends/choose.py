"""The fastest backend that runs a model where it lies: C on the CPU, a CUDA graph on a GPU, else torch.

The one place where a backend is chosen. Knows no sampling.
"""

from __future__ import annotations

import torch

from core.backends import native
from core.backends.base import Backend
from core.backends.cuda_graph.backend import CudaGraphBackend
from core.backends.cuda_graph.capture import CudaCapturer
from core.backends.cuda_graph.compiler import Compiler
from core.backends.cuda_graph.static_forward import unsupported_reason
from core.backends.eager import EagerBackend
from core.backends.native import NativeBackend
from core.config import ModelConfig
from core.transformer import Transformer


def lookahead_obstacle(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why reading several tokens in a step would gain nothing for such a model; None if it would gain something."""
    return native.fallback_reason(config, device, dtype)


def choose_backend(
    transformer: Transformer,
    *,
    device: torch.device,
    dtype: torch.dtype,
    n_threads: int | None = None,
    compiler: Compiler | None = None,
) -> Backend:
    """The backend for this model on this device.

    Args:
        n_threads: of the C library; None for as many as torch has.
        compiler: fuses what is captured on a GPU, in the background.
    """
    if device.type == "cuda":
        reason = unsupported_reason(transformer)
        if reason is None:
            capturer = CudaCapturer(device)
            return CudaGraphBackend(transformer, device=device, dtype=dtype, capturer=capturer, compiler=compiler)
    else:
        reason = native.fallback_reason(transformer.config, device, dtype)
        if reason is None:
            try:
                return NativeBackend(transformer, dtype=dtype, n_threads=n_threads or torch.get_num_threads())
            except MemoryError as error:
                reason = str(error)
    return EagerBackend(transformer, device=device, dtype=dtype, fallback_reason=reason)
