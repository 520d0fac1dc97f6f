"""How much of its processors a container may use: what the kernel says. Must not know torch or a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path


def granted_processors(root: Path = Path("/")) -> float | None:
    """Processors' worth of time that the control groups of this process may use; None: as much as there is.

    A container that was given two processors (`--cpus 2`) still shows all of the machine's: its threads are halted for
    the rest of each period, and whoever waits for one of them waits with it (cgroups(7), cpu.max and cpu.cfs_quota_us).
    """
    return min(_quotas(root), default=None)


def _quotas(root: Path) -> Iterator[float]:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, inside = rest.partition(":")
        if not kinds:
            yield from _of_groups(root / "sys/fs/cgroup", inside, _version_2)
        elif "cpu" in kinds.split(","):
            for name in dict.fromkeys((kinds, "cpu", "cpu,cpuacct")):  # the mount has one of these names
                yield from _of_groups(root / "sys/fs/cgroup" / name, inside, _version_1)


def _of_groups(base: Path, inside: str, read: Callable[[Path], tuple[int, int]]) -> Iterator[float]:
    """Of this group and all that it is in. Where the path is that of the machine, a container's own is the base."""
    folder = base / inside.strip("/")
    for group in [folder, *folder.parents]:
        with suppress(OSError, ValueError, ZeroDivisionError):  # no limit there: no file, or the word "max"
            quota, period = read(group)
            if quota > 0:
                yield quota / period
        if group == base:
            return


def _version_2(group: Path) -> tuple[int, int]:
    quota, period = (group / "cpu.max").read_text().split()
    return int(quota), int(period)


def _version_1(group: Path) -> tuple[int, int]:
    """The quota is -1 where there is none."""
    return int((group / "cpu.cfs_quota_us").read_text()), int((group / "cpu.cfs_period_us").read_text())
