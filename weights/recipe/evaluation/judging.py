"""What is wrong with a reply: it does not end, repeats itself, shows a mark or a blank, takes a false name."""

from __future__ import annotations

import re
from collections import Counter

from core.records import Finished
from weights.recipe.corpus.cleaning import ANOTHER_ASSISTANT, PLACEHOLDER

SPECIAL = re.compile(r"<\|[^|]*\|>")
CLAIMED = re.compile(r"\b(I am|I'm|call me|my name|(made|created|built|trained|developed) (by|at))\b", re.IGNORECASE)
DENIED = re.compile(r"\b(no|not|never|isn't|don't|can't)\b", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    return [found.strip().lower() for found in re.split(r"(?<=[.!?])\s+", text) if found.strip()]


def faults(reply: Finished) -> list[str]:
    """The names of all that is wrong with how it is said; whether it is true is another question."""
    found: list[str] = []
    if reply.reason != "end":
        found.append("does not end")
    if not reply.text.strip():
        found.append("empty")
    if max(Counter(sentences(reply.text)).values(), default=0) >= 3:
        found.append("repeats a sentence")
    if SPECIAL.search(reply.text) or PLACEHOLDER.search(reply.text):
        found.append("mark or blank")
    if takes_a_false_name(reply.text):
        found.append("false name")
    return found


def takes_a_false_name(text: str) -> bool:
    """Whether it says that it is another assistant, or another company's."""
    named = (said for said in sentences(text) if ANOTHER_ASSISTANT.search(said))
    return any(CLAIMED.search(said) and not DENIED.search(said) for said in named)
