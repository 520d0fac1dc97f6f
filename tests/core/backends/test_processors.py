"""How many processors a container may use, from trees as the kernel lays them out (cgroups(7), sched-bwc)."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.backends import device
from core.backends.processors import granted_processors


def put(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "processors"),
    [
        ({}, None),
        ({"proc/self/cgroup": "0::/\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2.0),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "nonsense\n"}, None),
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/cpu.max": "150000 100000\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
            },
            1.5,
        ),
        (
            {"proc/self/cgroup": "0::/of/the/machine\n", "sys/fs/cgroup/cpu.max": "50000 100000\n"},
            0.5,
        ),
        (
            {
                "proc/self/cgroup": "4:memory:/x\n1:cpu,cpuacct:/docker/1\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us": "100000\n",
            },
            3.0,
        ),
        (
            {
                "proc/self/cgroup": "1:cpu:/\n0::/\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            None,
        ),
    ],
)
def test_what_the_kernel_grants(tmp_path: Path, files: dict[str, str], processors: float | None) -> None:
    assert granted_processors(put(tmp_path, files)) == processors


@pytest.mark.parametrize(("granted", "threads"), [(None, 8), (16.0, 8), (2.0, 2), (3.5, 3), (0.5, 1)])
def test_threads_are_no_more_than_that(monkeypatch: pytest.MonkeyPatch, granted: float | None, threads: int) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(device, "_THREADS", 8)
    monkeypatch.setattr(device, "granted_processors", lambda: granted)
    assert device.threads_for(10**9) == threads
    assert device.threads_for(10**6) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert device.threads_for(10**9) == 8, "whoever says how many gets as many"
