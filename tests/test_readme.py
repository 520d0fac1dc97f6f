"""Whatever path a README names is there: links, files in backticks, modules to be run, and the annotated tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "weights", "tui", "tests", ".ci")
MADE_LATER = set((ROOT / ".gitignore").read_text().split())  # what building or training makes
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_PATH = re.compile(r"[\w.*-]*(/[\w.*-]+)*/?")
_RUN = re.compile(r"\bpython3? -m ([\w.]+)")


def readmes() -> list[Path]:
    rooms = (path for room in ROOMS for path in (ROOT / room).rglob("README.md"))
    return [ROOT / "README.md", *sorted(rooms)]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_there(path: str, readme: Path) -> bool:
    """From the README's own folder or from the root; a `*` needs something that fits it."""
    bare = path.partition("#")[0].rstrip("/")
    return any(folder.joinpath(bare).exists() or any(folder.glob(bare)) for folder in (readme.parent, ROOT))


def links_in(text: str) -> Iterator[str]:
    for target in _LINK.findall(text):
        if not target.startswith(("#", "http://", "https://", "mailto:")):
            yield target


def paths_in(text: str) -> Iterator[str]:
    """What stands in backticks and begins with one of our rooms."""
    for code in _CODE.findall(_FENCE.sub("", text)):
        for word in code.split():
            if word.partition("/")[0] in ROOMS and "/" in word and _PATH.fullmatch(word):
                yield word


def modules_in(text: str) -> Iterator[str]:
    """What `python -m` is to run, of ours."""
    return (module for module in _RUN.findall(text) if module.partition(".")[0] in ROOMS)


def can_be_run(module: str) -> bool:
    place = ROOT.joinpath(*module.split("."))
    return place.with_suffix(".py").is_file() or (place / "__main__.py").is_file()


def trees_in(text: str) -> Iterator[str]:
    """Fenced blocks that begin with one of our rooms."""
    for _, block in _FENCE.findall(text):
        if re.match(rf"\W*({'|'.join(map(re.escape, ROOMS))})/(\s|$)", block):
            yield block


def entries_of(tree: str) -> Iterator[str]:
    """The path of every name in a tree.

    A line is one name or several with a blank between them, then two blanks or more, and a word on them. What is
    indented deeper is in the folder above; a name in a line after a folder's is in that folder.
    """
    above: list[tuple[int, str]] = []
    for line in filter(str.strip, tree.splitlines()):
        bare = line.lstrip(" │├└─")
        depth = len(line) - len(bare)
        above = [(indent, folder) for indent, folder in above if indent < depth]
        names = re.split(r"\s{2,}|\s*#", bare)[0].split()
        place = "".join(folder for _, folder in above)
        for name in names:
            yield place + name
        if names[0].endswith("/"):
            above.append((depth, names[0]))


def is_entry(path: str) -> bool:
    """A file, a folder, or a module without its suffix."""
    place = ROOT / path
    return place.is_dir() if path.endswith("/") else place.exists() or place.with_suffix(".py").is_file()


@pytest.mark.parametrize("readme", readmes(), ids=name_of)
def test_what_a_readme_names_is_there(readme: Path) -> None:
    text = readme.read_text()
    missing = [
        path for path in (*links_in(text), *paths_in(text)) if path not in MADE_LATER and not is_there(path, readme)
    ]
    missing += [f"python -m {module}" for module in modules_in(text) if not can_be_run(module)]
    missing += [path for tree in trees_in(text) for path in entries_of(tree) if not is_entry(path)]
    assert not missing


def test_the_readme_has_a_tree_of_the_house() -> None:
    (tree,) = trees_in((ROOT / "README.md").read_text())
    assert {f"{room}/" for room in ("core", "weights", "tui", "tests")} <= set(entries_of(tree))


def test_every_form_is_understood() -> None:
    text = (
        "See [the engine](core/engine.py) and [that](https://example.org/core/x.py), `core/config.py`, `tests/*.py`,\n"
        "`a/b`, `x = core`, run `python -m tui ask`, `python3 -m tests.bench.compare --quick` or `python -m venv x`.\n"
        "```text\n"
        "core/           thinks, knows no/file\n"
        "  engine.py config.py   two of them\n"
        "├── layers/     # what a block is made of\n"
        "│   └── norms.py\n"
        "  text/\n"
        "    tokenizer  cuts\n"
        "tests/  tries\n"
        "```\n"
    )
    assert list(links_in(text)) == ["core/engine.py"]
    assert list(paths_in(text)) == ["core/config.py", "tests/*.py"]
    assert list(modules_in(text)) == ["tui", "tests.bench.compare"]
    (tree,) = trees_in(text)
    assert list(entries_of(tree)) == [
        "core/",
        "core/engine.py",
        "core/config.py",
        "core/layers/",
        "core/layers/norms.py",
        "core/text/",
        "core/text/tokenizer",
        "tests/",
    ]
    assert all(map(is_entry, entries_of(tree)))
    assert not is_entry("core/engine/")
    assert not is_entry("core/layers/nothing")
    assert is_there("core/engine.py", ROOT / "README.md")
    assert not is_there("core/*.txt", ROOT / "README.md")
    assert can_be_run("tui")
    assert not can_be_run("tests.bench")
