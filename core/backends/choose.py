"""What decodes a token faster than torch does on its own: C on the CPU, a CUDA graph on a GPU. Knows no sampling."""

from __future__ import annotations

import torch

from core.backends.cuda_graph import static_forward as fixed
from core.backends.cuda_graph.backend import CudaGraphBackend
from core.backends.cuda_graph.capture import CudaRecorder
from core.backends.cuda_graph.compiler import Compiler
from core.backends.native import NativeBackend, why_not
from core.kv_cache import KVCache
from core.transformer import Transformer

Backend = NativeBackend | CudaGraphBackend


def choose_backend(
    transformer: Transformer,
    cache: KVCache,
    *,
    device: torch.device,
    dtype: torch.dtype,
    n_threads: int | None = None,
    compiler: Compiler | None = None,
) -> tuple[Backend | None, str | None]:
    """The step for this device, or why there is none.

    Args:
        cache: the empty one that it will read and write.
        n_threads: on the CPU; None for as many as torch has.
        compiler: fuses what is recorded on a GPU.
    """
    if device.type == "cuda":
        why = fixed.why_not(transformer)
        if why is not None:
            return None, why
        recorder = CudaRecorder(device)
        backend = CudaGraphBackend(transformer, device=device, dtype=dtype, recorder=recorder, compiler=compiler)
        backend.try_out(cache)
        return backend, None
    why = why_not(transformer, device, dtype)
    if why is not None:
        return None, why
    try:
        return NativeBackend(transformer, dtype=dtype, n_threads=n_threads or torch.get_num_threads()), None
    except MemoryError as error:
        return None, str(error)
