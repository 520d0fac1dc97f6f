"""The fixed prompts by which the chat model is judged: read from prompts.txt, whose first lines explain its form.

Knows a right answer from a wrong one, and which texts must stay out of the training data; knows no model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from weights.recipe.models import filled_in

TEXT = Path(__file__).with_name("prompts.txt")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What a person types, turn by turn; what the last answer must contain, if anything, and what it must not."""

    group: str
    turns: tuple[str, ...]
    right: tuple[tuple[str, ...], ...]  # one of these; of that one, all words
    wrong: tuple[str, ...]

    def accepts(self, answer: str) -> bool:
        """Whether an answer to a closed question is right."""
        found = any(all(stands_in(word, answer) for word in words) for words in self.right)
        return found and not any(stands_in(word, answer) for word in self.wrong)


def stands_in(word: str, answer: str) -> bool:
    """As a word of its own, whatever its case: "ice" is not in "nice"."""
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", answer, re.IGNORECASE) is not None


@cache
def prompts() -> tuple[Prompt, ...]:
    found: list[Prompt] = []
    group = ""
    for block in filled_in(TEXT.read_text(encoding="utf-8")).split("\n\n"):
        if block.startswith("## "):
            group = block[3:]
        marked: dict[str, list[str]] = {mark: [] for mark in ">=!"}
        for line in block.splitlines():
            if line[0] in marked:
                marked[line[0]].append(line[2:].strip())
        if marked[">"]:
            right = tuple(tuple(words.split(" & ")) for line in marked["="] for words in line.split(" | "))
            wrong = tuple(word for line in marked["!"] for word in line.split(" | "))
            found.append(Prompt(group=group, turns=tuple(marked[">"]), right=right, wrong=wrong))
    return tuple(found)


def plain(text: str) -> str:
    """A text without case and marks, so that the same words count as the same text."""
    return " ".join(re.findall(r"[^\W_]+|[-+*/=]", text.lower().replace("'", "")))


@cache
def kept_out() -> frozenset[str]:
    """What no person may type in the training data, as `plain` text."""
    return frozenset(plain(turn) for prompt in prompts() for turn in prompt.turns)
