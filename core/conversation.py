"""Who said what: messages in order, and which of them fit in the context. Must not know torch."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn. `ids` are the tokens a model really produced for it; its text is derived from them."""

    role: Role
    text: str
    ids: tuple[int, ...] | None = None


Conversation = tuple[Message, ...]


def fit(conversation: Conversation, budget: int, count: Callable[[Conversation], int]) -> tuple[Conversation, int]:
    """The newest part of a conversation whose prompt is at most `budget` tokens, and how many messages were left out.

    The system message and the last message always stay; what goes, goes from the oldest, in whole exchanges, so
    that what is left still begins with a user's turn.

    Args:
        count: the number of prompt tokens of a conversation, template included. It grows with the messages.
    """
    if len(conversation) < 2 or count(conversation) <= budget:
        return conversation, 0
    head = 1 if conversation[0].role == "system" else 0
    last = len(conversation) - 1
    starts = [n for n in range(head + 1, last) if conversation[n].role == "user"] + [last]

    def fits(start: int) -> bool:
        return count(conversation[:head] + conversation[start:]) <= budget

    start = starts[min(bisect_left(starts, True, key=fits), len(starts) - 1)]
    return conversation[:head] + conversation[start:], start - head
