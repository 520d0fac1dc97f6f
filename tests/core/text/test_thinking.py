from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text.thinking import ThoughtSplitter, opened_by, split_thought


def split(pieces: list[str], *, opened: bool = False) -> tuple[str, str, str]:
    splitter = ThoughtSplitter(opened=opened)
    found = [splitter.push(piece) for piece in pieces] + [splitter.flush()]
    return "".join(thought for thought, _ in found), "".join(answer for _, answer in found), splitter.state


@pytest.mark.parametrize(
    ("text", "opened", "expected"),
    [
        ("<think>hm</think>Yes.", False, ("hm", "Yes.", "answering")),
        ("\n <think>\nhm\n</think>\n\nYes.", False, ("\nhm\n", "\n\nYes.", "answering")),
        ("hm</think>Yes.", True, ("hm", "Yes.", "answering")),
        ("hm", True, ("hm", "", "thinking")),
        ("<think>hm </thin", False, ("hm </thin", "", "thinking")),
        ("A <think> is a tag, </think> too.", False, ("", "A <think> is a tag, </think> too.", "answering")),
        ("<think>a</think>b<think>c</think>d", False, ("a", "b<think>c</think>d", "answering")),
        ("<thin air>", False, ("", "<thin air>", "answering")),
        ("<think>1 < 2 and </b></think>x", False, ("1 < 2 and </b>", "x", "answering")),
        ("  ", False, ("", "  ", "before")),
        ("<th", False, ("", "<th", "before")),
        ("", True, ("", "", "thinking")),
    ],
)  # fmt: skip
def test_a_reply_is_cut_in_two(text: str, opened: bool, expected: tuple[str, str, str]) -> None:
    assert split([text], opened=opened) == expected
    assert split(list(text), opened=opened) == expected, "however it comes"
    assert split_thought(text, opened=opened) == expected[:2], "and when it is over"


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<", "think", "</", ">", "a", "\n", " ", "x</"])), st.booleans()
)
def test_nothing_is_lost_however_it_is_cut(pieces: list[str], opened: bool) -> None:
    text = "".join(pieces)
    thought, answer, _ = whole = split([text], opened=opened)
    assert split(list(text), opened=opened) == split(pieces, opened=opened) == whole
    tags = ("" if opened else "<think>", "</think>")
    ways = {answer, f"{tags[0]}{thought}{tags[1]}{answer}", f"{tags[0]}{thought}"}
    assert text.lstrip() in {way.lstrip() for way in ways} or text in ways


@pytest.mark.parametrize(
    ("prompt", "opened"),
    [
        ("<|im_start|>assistant\n<think>", True),
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n", False),
        ("<|im_start|>assistant\n", False),
        ("", False),
    ],
)
def test_a_prompt_may_open_the_thought(prompt: str, opened: bool) -> None:
    assert opened_by(prompt) is opened
