"""Where the arithmetic happens and in which number format. Knows no model."""

from __future__ import annotations

import gc
import os

import torch

from core.backends.processors import granted_processors
from core.errors import BadDevice

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
KINDS = ("cuda", "mps", "xpu", "cpu")  # in the order of preference


def choose(device: str | None = None, dtype: str | None = None) -> tuple[torch.device, torch.dtype]:
    """The device and number format to use; None means the best there is.

    Raises:
        BadDevice: there is no such device here, or no such format.
    """
    chosen = _device(device)
    return chosen, _dtype(dtype, chosen)


def available() -> list[str]:
    """The kinds of device this machine has, best first."""
    available_kinds = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    available_kinds["xpu"] = torch.xpu.is_available()
    return [kind for kind in KINDS if available_kinds[kind]]


def release() -> None:
    """Give back the memory of what is no longer used, so that something else as large can take its place."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
    if torch.xpu.is_available():
        torch.xpu.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is how torch says so: an allocator that fails on the CPU has no error of its own, only this word."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "memory" in str(error)
    )


def _device(name: str | None) -> torch.device:
    here = available()
    if name is None or name == "auto":
        return torch.device(here[0])
    names = [name for kind in here for name in (kind, *(f"{kind}:{number}" for number in range(_count(kind))))]
    if name not in names:
        raise BadDevice(f"There is no device {name!r} on this machine.", f"It has: {', '.join(names)}.")
    return torch.device(name)


def _count(kind: str) -> int:
    """How many devices of a kind this machine has."""
    if kind == "cuda":
        return torch.cuda.device_count()
    return torch.xpu.device_count() if kind == "xpu" else 1


def _dtype(name: str | None, device: torch.device) -> torch.dtype:
    if name is None or name == "auto":
        return torch.bfloat16 if _good_at_bfloat16(device) else torch.float32
    full = _SHORT.get(name, name)
    if full not in DTYPES:
        raise BadDevice(f"There is no number format {name!r}.", f"The formats are {', '.join(DTYPES)}.")
    return DTYPES[full]


def _good_at_bfloat16(device: torch.device) -> bool:
    """Whether matrix products in bfloat16 run in the hardware. Elsewhere they are many times slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        able = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return any(able.get(feature) for feature in ("avx512_bf16", "amx_bf16", "bf16"))
    return device.type == "xpu"


# Below this, a second thread waits for the first longer than it works, and whatever else runs on the machine (the
# screen, for one) makes every one of these waits worse.
_WORTH_SHARING = 50_000_000
_THREADS = torch.get_num_threads()  # what the machine offers, before a small model asked for less


def threads_for(n_parameters: int) -> int:
    """How many CPU threads decode a model of this size fastest, one token at a time."""
    return _granted(_THREADS) if n_parameters >= _WORTH_SHARING else 1


def _granted(n_threads: int) -> int:
    """No more than a container may use, in whole processors: a thread that is halted holds up all the others.

    Whoever has set OMP_NUM_THREADS has said how many they want.
    """
    granted = granted_processors()
    if granted is None or os.environ.get("OMP_NUM_THREADS"):
        return n_threads
    return max(1, min(n_threads, int(granted)))
