"""No circle, neither among modules nor among the rooms of one folder, however deep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "weights", "tui")


@cache
def imports() -> Mapping[str, frozenset[str]]:
    """Which modules each module imports, those that only type checkers read included."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {module: frozenset(graph.find_modules_directly_imported_by(module)) for module in graph.modules}


def circle_in(arrows: Mapping[str, frozenset[str]]) -> list[str]:
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def folders() -> Iterator[str]:
    """Every package that holds another one or a module."""
    yield from sorted({module.rpartition(".")[0] for module in imports() if "." in module})


def rooms_of(folder: str, arrows: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    """Which of a folder's modules and rooms use which others of it. The folder's own door is left out."""
    depth = folder.count(".") + 2

    def room(module: str) -> str:
        inside = module.startswith(f"{folder}.")
        return ".".join(module.split(".")[:depth]) if inside else ""

    found: dict[str, set[str]] = {}
    for module, imported in arrows.items():
        if here := room(module):
            found.setdefault(here, set()).update({room(other) for other in imported} - {here, ""})
    return {name: frozenset(others) for name, others in found.items()}


def test_no_module_needs_itself() -> None:
    assert not circle_in(imports())


@pytest.mark.parametrize("folder", list(folders()))
def test_no_room_needs_itself(folder: str) -> None:
    assert not circle_in(rooms_of(folder, imports()))


def test_a_circle_would_be_seen() -> None:
    arrows = {"a.b.one": frozenset({"a.c.two"}), "a.c.two": frozenset(), "a.c.three": frozenset({"a.b.four"})}
    arrows |= {"a.b.four": frozenset()}
    assert not circle_in(arrows)
    assert set(circle_in(rooms_of("a", arrows))) == {"a.b", "a.c"}
    assert circle_in({"x": frozenset({"y"}), "y": frozenset({"x"})})
