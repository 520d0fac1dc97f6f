"""How the house is built: rooms of a size to look over, each with a word at its door; no test leans on a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("core", "weights", "tui")
MOST_MODULES, MOST_ROOMS = 13, 10


def rooms() -> list[Path]:
    """Every folder with modules in it."""
    return sorted({module.parent for package in PACKAGES for module in (ROOT / package).rglob("*.py")})


def imports_of(module: Path) -> Iterator[str]:
    """Every module that one imports, wherever in it, and the names it takes from there, which may be modules too."""
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def name_of(folder: Path) -> str:
    return str(folder.relative_to(ROOT))


def test_no_helper_is_taken_from_a_test() -> None:
    taken = [
        f"{name_of(module)}: {name}"
        for module in sorted((ROOT / "tests").rglob("*.py"))
        for name in imports_of(module)
        if name.startswith("tests.") and any(part.startswith("test_") for part in name.split("."))
    ]
    assert not taken, "what several tests need belongs to the support/ folder of their room"


@pytest.mark.parametrize("room", rooms(), ids=name_of)
def test_a_room_can_be_looked_over(room: Path) -> None:
    modules = [path.name for path in room.glob("*.py")]
    inner = [path.name for path in room.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert len(modules) <= MOST_MODULES, sorted(modules)
    assert len(inner) <= MOST_ROOMS, sorted(inner)


@pytest.mark.parametrize("room", rooms(), ids=name_of)
def test_every_room_says_what_it_is_for(room: Path) -> None:
    door = room / "__init__.py"
    assert door.is_file(), f"{name_of(room)} is no package"
    assert ast.get_docstring(ast.parse(door.read_text()))
