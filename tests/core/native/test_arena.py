"""Memory in large pages: what is taken is its own, begins at a line, and lies in large pages where Linux has them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import torch

from core.native.arena import Arena, in_large_pages

CPU = torch.device("cpu")
SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def test_what_is_taken_does_not_overlap() -> None:
    arena = Arena(3 * Arena.size_of(100), CPU)
    parts = [arena.take((25,), torch.float32), arena.take((5, 10), torch.bfloat16), arena.take((100,), torch.uint8)]
    for number, part in enumerate(parts):
        part.fill_(number)
    for number, part in enumerate(parts):
        assert part.data_ptr() % 64 == parts[0].data_ptr() % 64
        assert (part == number).all()
    with pytest.raises(ValueError, match="8 bytes are wanted and 0 are left"):
        arena.take((2,), torch.float32)


def test_the_memory_lives_as_long_as_what_was_taken_from_it() -> None:
    part = Arena(Arena.size_of(4000), CPU).take((1000,), torch.float32).fill_(7)
    torch.empty(1000).fill_(0)
    assert (part == 7).all()


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_shape_and_format_are_as_asked(size: int) -> None:
    tensor = in_large_pages((2, size), torch.bfloat16, CPU)
    assert (tensor.shape, tensor.dtype, tensor.is_contiguous()) == ((2, size), torch.bfloat16, True)


def huge_bytes(address: int) -> int:
    """How much of the mapping around an address lies in large pages (proc(5), smaps)."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if hit := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(hit[1], 16) <= address < int(hit[2], 16)
        elif inside and line.startswith("AnonHugePages:"):
            return 1024 * int(line.split()[1])
    return 0


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone is asked for large pages")
@pytest.mark.skipif(
    not SETTING.exists() or "[never]" in SETTING.read_text(), reason="this machine gives no large pages to programs"
)
def test_linux_gives_large_pages() -> None:
    tensor = in_large_pages((16 << 20,), torch.uint8, CPU)
    tensor.fill_(1)
    if not (got := huge_bytes(tensor.data_ptr())):
        pytest.skip("there are no large pages left")
    assert got >= 8 << 20
