"""How much memory this machine has free, and on which device a model would be put. Must not know any model.

Torch is only asked about devices other than the CPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class AvailableMemory:
    """Where a model would go."""

    device: str
    dtype: str
    free: int | None  # bytes; None where the machine does not say


def available_memory(device: torch.device, dtype: torch.dtype) -> AvailableMemory:
    """What is free on a device right now."""
    return AvailableMemory(device=str(device), dtype=str(dtype).removeprefix("torch."), free=_free(device))


def available_memory_without_torch(device: str, dtype: str) -> AvailableMemory:
    """The same, before torch is loaded: devices with memory of their own do not tell."""
    shared = device.partition(":")[0] in ("cpu", "mps")
    return AvailableMemory(device=device, dtype=dtype, free=free_here() if shared else None)


def _free(device: torch.device) -> int | None:
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + _unused(torch.cuda.memory_reserved(device), device)
    if device.type == "xpu":
        return torch.xpu.mem_get_info(device)[0]
    here = free_here()
    if device.type == "mps":  # shares the machine's memory, but may take a part of it only
        on_device = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return on_device if here is None else min(here, on_device)
    return here


def _unused(reserved: int, device: torch.device) -> int:
    """Memory that torch holds on to without a tensor in it: free for us."""
    import torch

    return reserved - torch.cuda.memory_allocated(device)


def free_here(root: Path = Path("/")) -> int | None:
    """Bytes that programs on the CPU can still have without swapping; None where the machine does not say."""
    if sys.platform == "darwin":
        return _free_on_a_mac()
    known = [*_meminfo(root / "proc/meminfo"), *_cgroups(root)]
    if known:
        return max(0, min(known))
    with suppress(AttributeError, ValueError, OSError):  # no such call, or no such number, on this system
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return None


def _meminfo(path: Path) -> Iterator[int]:
    """Linux's own estimate of what can be had without swapping (proc(5))."""
    with suppress(OSError):
        if hit := re.search(r"^MemAvailable:\s+(\d+) kB", path.read_text(), re.MULTILINE):
            yield int(hit[1]) * 1024


def _cgroups(root: Path) -> Iterator[int]:
    """What is left of the limit of each control group this process is in; a container is one (cgroups(7))."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, inside = rest.partition(":")
        if not kinds:
            yield from _limits(root / "sys/fs/cgroup", inside, "memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _limits(root / "sys/fs/cgroup/memory", inside, *names)


def _limits(base: Path, inside: str, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    folder = base / inside.strip("/")
    for group in [folder, *folder.parents]:
        with suppress(OSError, ValueError):  # no limit there: no file, or the word "max"
            most, used = int((group / limit).read_text()), int((group / usage).read_text())
            cached = re.search(rf"^{reclaimable} (\d+)", (group / "memory.stat").read_text(), re.MULTILINE)
            yield most - used + (int(cached[1]) if cached else 0)
        if group == base:
            return


def _free_on_a_mac() -> int | None:
    with suppress(OSError, subprocess.SubprocessError):
        return _of_vm_stat(subprocess.run(["/usr/bin/vm_stat"], capture_output=True, text=True, timeout=5).stdout)
    return None


def _of_vm_stat(text: str) -> int | None:
    """Pages that are free or can be freed at once (vm_stat(1))."""
    size = re.search(r"page size of (\d+) bytes", text)
    pages = re.findall(r"^Pages (?:free|inactive|speculative|purgeable):\s+(\d+)", text, re.MULTILINE)
    return int(size[1]) * sum(map(int, pages)) if size and pages else None
