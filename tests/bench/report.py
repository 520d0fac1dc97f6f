"""Measurements become a table: medians with their spread, ratios of the same round. Must not know how to measure."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PEERS = ("llama.cpp", "transformers")
HEAD = ("model", "precision", "threads", "what", "limit", "ours", "of the limit")


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one subject reached at one thing, a value for every round."""

    shape: str
    precision: str
    threads: int
    measure: str
    unit: str
    subject: str  # "limit", "ours", a peer, or a peer with its settings
    values: list[float] = field(default_factory=list)

    @property
    def more_is_better(self) -> bool:
        return self.unit == "tokens/s"


def table(found: Sequence[Measurement], notes: Iterable[str]) -> str:
    """In Markdown. A ratio above 1 means that we are better; a peer with several settings counts with its best."""
    head = [*HEAD, *(title for peer in PEERS for title in (peer, f"ours / {peer}"))]
    lines = [machine(), "", row(head), row(["---"] * len(head))]
    rows: dict[tuple[object, ...], list[Measurement]] = {}
    for one in found:
        rows.setdefault((one.shape, one.precision, one.threads, one.measure), []).append(one)
    for key, subjects in rows.items():
        lines.append(row([*map(str, key[:3]), f"{key[3]}, {subjects[0].unit}", *cells(subjects)]))
    return "\n".join([*lines, "", *(f"- {note}" for note in dict.fromkeys(notes))])


def cells(subjects: Sequence[Measurement]) -> list[str]:
    by_name = {one.subject: one for one in subjects}
    limit, ours = by_name.get("limit"), best(subjects, "ours")
    found = [show(limit), show(ours) + variant(ours, "ours"), ratio(ours, limit)]
    for peer in PEERS:
        theirs = best(subjects, peer)
        found += [show(theirs) + variant(theirs, peer), ratio(ours, theirs)]
    return found


def best(subjects: Sequence[Measurement], name: str) -> Measurement | None:
    """Of all the ways in which one program ran."""
    return max((one for one in subjects if one.subject.split()[0] == name), key=goodness, default=None)


def variant(one: Measurement | None, name: str) -> str:
    return one.subject.removeprefix(name) if one else ""


def goodness(one: Measurement) -> float:
    median = statistics.median(one.values)
    return median if one.more_is_better else -median


def show(one: Measurement | None) -> str:
    """The median, and half the distance between the quartiles in percent of it."""
    if one is None:
        return ""
    median = statistics.median(one.values)
    digits = 0 if median >= 100 else 1
    if len(one.values) < 3:
        return f"{median:,.{digits}f}"
    low, _, high = statistics.quantiles(one.values, n=4)
    return f"{median:,.{digits}f} ±{(high - low) / 2 / median:.0%}"


def ratio(ours: Measurement | None, other: Measurement | None) -> str:
    """The median of the ratios of each round, so what disturbed a whole round disturbs it little."""
    if ours is None or other is None:
        return ""
    ratios = [mine / theirs for mine, theirs in zip(ours.values, other.values, strict=True)]
    if not ours.more_is_better and other.subject != "limit":
        ratios = [1 / one for one in ratios]
    return f"{statistics.median(ratios):.2f}"


def machine() -> str:
    """Where and when, with what."""
    versions = ", ".join(
        f"{name} {found}" for name in ("torch", "transformers", "llama-cpp-python") if (found := there(name))
    )
    where = ", ".join((*gpus(), processor()))
    return f"{date.today()}, {where}, {os.cpu_count()} cores, {versions}; load {os.getloadavg()[0]:.1f}"


def there(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def write(
    found: Sequence[Measurement], notes: Sequence[str], *, to_json: Path | None, to_markdown: Path | None
) -> None:
    if to_json:
        values = {"machine": machine(), "notes": list(notes), "measurements": [asdict(one) for one in found]}
        to_json.write_text(json.dumps(values, indent=1))
    if to_markdown:
        to_markdown.write_text(table(found, notes) + "\n")


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
