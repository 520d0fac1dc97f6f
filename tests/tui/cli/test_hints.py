"""Whatever flag or command a sentence of the program names must be there for the command that says it."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tui.cli.options import build_parser

ROOT = Path(__file__).parents[3]
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")
_PIP = re.compile(r"pip install(?: -{1,2}[a-z-]+)*")  # another program's flags
_COMMAND = re.compile(r"\blogitscope ((?:[a-z]+ ?)*)(--[a-z-]+)?")
# Where a sentence can come from one command alone; every other may come from any that opens a model.
SAID_BY = {
    ("tui/cli/commands.py", "next_token"): ("next",),
    ("tui/cli/commands.py", "_folder"): ("models",),
    ("tui/cli/bench_command.py", "bench"): ("bench",),
    ("tui/cli/models_command.py", "_agreed"): ("models remove",),
    ("tui/cli/models_command.py", "pull_model"): ("",),  # which says what to call next
}
OPENING = ("", "ask", "next", "tokens", "models", "bench")


def parsers() -> dict[str, argparse.ArgumentParser]:
    """Every command by what is typed after the program's name."""
    found = {}
    waiting = [("", build_parser())]
    while waiting:
        name, parser = waiting.pop()
        found[name] = parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                waiting += [(f"{name} {command}".strip(), inner) for command, inner in action.choices.items()]
    return found


PARSERS = parsers()


def flags_of(command: str) -> set[str]:
    return {flag for action in PARSERS[command]._actions for flag in action.option_strings}


class Sentence(NamedTuple):
    place: str
    function: str
    text: str


def sentences_in(path: Path) -> Iterator[Sentence]:
    """Every text of a module but its docstrings."""
    tree = ast.parse(path.read_text())
    place = str(path.relative_to(ROOT))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

    def walk(node: ast.AST, function: str) -> Iterator[Sentence]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node.name
        skipped = node.body[0] if isinstance(node, documented) and ast.get_docstring(node) is not None else None
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield Sentence(place, function, node.value)
        for child in ast.iter_child_nodes(node):
            if child is not skipped:
                yield from walk(child, function)

    yield from walk(tree, "")


def sentences() -> list[Sentence]:
    apart = ("weights/recipe/", "tui/cli/options.py")  # programs of their own, and where the flags are made
    files = [path for room in ("core", "weights", "tui") for path in sorted((ROOT / room).rglob("*.py"))]
    files = [path for path in files if not str(path.relative_to(ROOT)).startswith(apart)]
    return [sentence for path in files for sentence in sentences_in(path)]


SENTENCES = sentences()
NAMING_FLAGS = [s for s in SENTENCES if _FLAG.search(s.text)]
NAMING_COMMANDS = [s for s in SENTENCES if _COMMAND.search(s.text)]


def unknown(sentence: Sentence) -> list[str]:
    """The flags in it that one of the commands that may say it has not."""
    commands = SAID_BY.get((sentence.place, sentence.function), OPENING)
    return [
        flag for flag in _FLAG.findall(_PIP.sub("", sentence.text)) for name in commands if flag not in flags_of(name)
    ]


@pytest.mark.parametrize("sentence", NAMING_FLAGS, ids=lambda s: f"{s.place}:{s.function}:{s.text[:30]}")
def test_a_flag_that_is_named_is_there(sentence: Sentence) -> None:
    assert unknown(sentence) == []


@pytest.mark.parametrize("sentence", NAMING_COMMANDS, ids=lambda s: f"{s.place}:{s.text[:30]}")
def test_a_command_that_is_named_is_there(sentence: Sentence) -> None:
    for words, flag in _COMMAND.findall(sentence.text):
        name = words.strip()
        assert name in PARSERS, f"there is no command {name!r}"
        assert not flag or flag in flags_of(name)


def test_the_sentences_are_found() -> None:
    said = " ".join(sentence.text for sentence in SENTENCES)
    assert "Leave --compile out, or use CUDA." in said
    assert len(NAMING_FLAGS) > 20
    assert unknown(Sentence("core/errors.py", "", "Feed the text as it is (--raw).")), "which only `next` knows"
