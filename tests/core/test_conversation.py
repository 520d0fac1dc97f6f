"""Which messages are left when not all of them fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.conversation import Conversation, Message, Role, fit


def talk(*roles: Role) -> Conversation:
    """Messages of ten tokens each, told apart by their number."""
    return tuple(Message(role=role, text=str(number)) for number, role in enumerate(roles))


def ten_each(conversation: Conversation) -> int:
    return 10 * len(conversation)


def left(conversation: Conversation) -> list[str]:
    return [message.text for message in conversation]


def test_everything_stays_while_it_fits() -> None:
    conversation = talk("system", "user", "assistant", "user")
    assert fit(conversation, 40, ten_each) == (conversation, 0)


@pytest.mark.parametrize(
    ("budget", "kept", "dropped"),
    [
        (59, ["0", "3", "4", "5"], 2),  # one exchange goes, whole, though dropping one message would have done
        (40, ["0", "3", "4", "5"], 2),
        (39, ["0", "5"], 4),
        (20, ["0", "5"], 4),
        (0, ["0", "5"], 4),  # the system message and the last one always stay
    ],
)
def test_the_oldest_exchanges_go_first(budget: int, kept: list[str], dropped: int) -> None:
    conversation = talk("system", "user", "assistant", "user", "assistant", "user")
    part, gone = fit(conversation, budget, ten_each)
    assert (left(part), gone) == (kept, dropped)


def test_without_a_system_message() -> None:
    part, gone = fit(talk("user", "assistant", "user", "assistant", "user"), 30, ten_each)
    assert (left(part), gone) == (["2", "3", "4"], 2)


@pytest.mark.parametrize("conversation", [(), talk("user"), talk("system"), talk("system", "user")])
def test_what_cannot_be_shortened_stays_as_it_is(conversation: Conversation) -> None:
    assert fit(conversation, 0, ten_each) == (conversation, 0)


@given(
    st.lists(st.sampled_from(("user", "assistant")), min_size=1, max_size=30),
    st.booleans(),
    st.integers(0, 400),
)
def test_no_more_is_dropped_than_must_be(roles: list[Role], system: bool, budget: int) -> None:
    conversation = talk(*(["system", *roles] if system else roles))
    part, gone = fit(conversation, budget, ten_each)
    head = 1 if system else 0
    assert part == conversation[:head] + conversation[head + gone :]
    assert part[-1] == conversation[-1]
    if gone and len(part) > head + 1:
        assert part[head].role == "user"  # what is left begins with a user's turn
    starts = [head, *(n for n in range(head + 1, len(conversation) - 1) if conversation[n].role == "user")]
    longer = [start for start in starts if start < head + gone]
    assert all(ten_each(conversation[:head] + conversation[start:]) > budget for start in longer)
    assert ten_each(part) <= budget or len(part) == head + 1


def test_a_long_conversation_is_not_counted_over_and_over() -> None:
    """Counting means rendering and tokenizing everything: it must not be done once for every message dropped."""
    calls = 0

    def count(conversation: Conversation) -> int:
        nonlocal calls
        calls += 1
        return ten_each(conversation)

    conversation = talk("system", *("user", "assistant") * 1000, "user")
    part, _ = fit(conversation, 100, count)
    assert len(part) == 10
    assert calls <= 15  # 2 ** 10 > 1000, and a few to spare
