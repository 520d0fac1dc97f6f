"""How much memory a machine says that it has free."""

from __future__ import annotations

import re
from pathlib import Path

from weights.fit.available import _of_vm_stat, free_here


def test_what_this_machine_has_free() -> None:
    free = free_here()
    assert free is not None
    total = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    assert total
    assert 0 < free <= int(total[1]) * 1024


def put(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_limit_of_a_container_counts(tmp_path: Path) -> None:
    """Fake trees as the kernel lays them out (cgroups(7)): the smallest of what is left anywhere."""
    put(tmp_path, proc__meminfo="MemTotal: 9000 kB\nMemAvailable:    8000 kB\n", proc__self__cgroup="0::/a/b\n")
    assert free_here(tmp_path) == 8_000 * 1024
    base = tmp_path / "sys" / "fs" / "cgroup"
    put(base / "a" / "b", memory_DOT_max="max\n", memory_DOT_current="1000\n", memory_DOT_stat="inactive_file 1\n")
    assert free_here(tmp_path) == 8_000 * 1024
    put(
        base / "a",
        memory_DOT_max="5000000",
        memory_DOT_current="3000000",
        memory_DOT_stat="anon 1\ninactive_file 500000\n",
    )
    assert free_here(tmp_path) == 5_000_000 - 3_000_000 + 500_000


def test_the_limit_of_an_older_container_counts(tmp_path: Path) -> None:
    put(
        tmp_path,
        proc__meminfo="MemAvailable: 8000 kB\n",
        proc__self__cgroup="9:cpu,memory:/x\n1:name=systemd:/x\n0::/\n",
    )
    group = tmp_path / "sys" / "fs" / "cgroup" / "memory" / "x"
    put(group, memory_DOT_limit_in_bytes="4000000", memory_DOT_usage_in_bytes="1000000", memory_DOT_stat="cache 7\n")
    assert free_here(tmp_path) == 3_000_000


def test_what_a_mac_says() -> None:
    text = (
        "Mach Virtual Memory Statistics: (page size of 16384 bytes)\nPages free:              100.\n"
        "Pages active:            999.\nPages inactive:           20.\nPages speculative:         3.\n"
        "Pages wired down:        999.\nPages purgeable:           4.\n"
    )
    assert _of_vm_stat(text) == 16_384 * 127
    assert _of_vm_stat("nothing") is None
