"""A conversation as its template puts it, seen to hold what was said: as texts or as typed parts, and with its system.

Templates lose things without a word: some want the content of a message in typed parts, some know no system message.
Must not know tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from core.conversation import Conversation, Message
from core.errors import BadTemplate
from core.text.chat_template import ChatTemplate
from core.text.sandbox import TooMuch
from core.text.thinking import CLOSE

SYSTEM_MOVED = (
    "This model's chat template has no place for a system message: it goes before the first message of the person."
)
_TELLING = 12  # characters; a shorter text may stand in a template by chance
_UNPLACED = "'text': '{}'"  # how a list of parts looks that was printed as it is


class Placement(NamedTuple):
    """A conversation as text, and how it was told to the template."""

    text: str
    conversation: Conversation  # with the system message where it went
    typed: frozenset[int]  # messages whose content was given in typed parts
    remarks: tuple[str, ...] = ()  # what does not stand where it was said, in sentences for the person


class _Attempt(NamedTuple):
    text: str
    typed: frozenset[int]
    lost: frozenset[int]  # messages of whose text nothing has come


def place(conversation: Conversation, template: ChatTemplate) -> Placement:
    """The prompt as text, holding what was said.

    A system message that the template loses or refuses goes before the first message of the person, as llama.cpp has
    it.

    Raises:
        BadTemplate: the template refuses this conversation, fails on it, or leaves out the last message.
    """
    whole, refusal = None, None
    try:
        whole = _attempt(conversation, template)
    except BadTemplate as error:
        refusal = error
    if conversation and conversation[0].role == "system" and (whole is None or 0 in whole.lost):
        moved = _without_system(conversation)
        remark = (SYSTEM_MOVED,) if conversation[0].text.strip() else ()
        try:
            return _accepted(moved, _attempt(moved, template), remark)
        except BadTemplate:  # what is said of the conversation as it is says more
            pass
    if whole is None:
        assert refusal is not None
        raise refusal
    return _accepted(conversation, whole)


def forms(text: str) -> Iterator[str]:
    """How a template may put what was said: as it is, trimmed, or without the thought that came before it."""
    yield from (text, text.strip(), text.lstrip("\n"))
    if CLOSE in text:
        answer = text.rpartition(CLOSE)[2]
        yield from (answer, answer.strip(), answer.lstrip("\n"))


def _accepted(conversation: Conversation, attempt: _Attempt, remarks: tuple[str, ...] = ()) -> Placement:
    """
    Raises:
        BadTemplate: the last message is not there.
    """
    if len(conversation) - 1 in attempt.lost:
        raise BadTemplate(
            "The model's chat template leaves out what was said: it is not in the prompt, neither given as a text nor "
            "in typed parts.",
            "Choose another model.",
        )
    if attempt.lost:
        count = len(attempt.lost)
        which = "an earlier message" if count == 1 else f"{count} earlier messages"
        remarks = (*remarks, f"This model's chat template leaves out {which}: the model does not see what was said.")
    return Placement(attempt.text, conversation, attempt.typed, remarks)


def _without_system(conversation: Conversation) -> Conversation:
    """The system's text before the first message of the person, on lines of its own."""
    system, *rest = conversation
    first = next((n for n, message in enumerate(rest) if message.role == "user"), None)
    if not system.text.strip():
        return tuple(rest)
    if first is None:
        return (Message(role="user", text=system.text), *rest)
    rest[first] = replace(rest[first], text=f"{system.text}\n{rest[first].text}", ids=None)
    return tuple(rest)


def _attempt(conversation: Conversation, template: ChatTemplate) -> _Attempt:
    """With every content as a text, or else with those in typed parts that are lost as a text.

    Raises:
        BadTemplate: neither can be rendered.
    """
    try:
        text = template.render(conversation)
    except BadTemplate as error:
        if isinstance(error.__cause__, TooMuch):
            raise
        typed = frozenset(range(len(conversation)))
        parts = _in_parts(conversation, template, typed)
        if parts is None or parts.lost:
            raise
        return parts
    lost = _lost(conversation, template, frozenset(), text)
    parts = _in_parts(conversation, template, lost) if lost else None
    if parts is not None and len(parts.lost) < len(lost):
        return parts
    return _Attempt(text, frozenset(), lost)


def _in_parts(conversation: Conversation, template: ChatTemplate, typed: frozenset[int]) -> _Attempt | None:
    """With these messages in typed parts; None if the template does not take that."""
    try:
        text = template.render(conversation, typed=typed)
    except BadTemplate:
        return None
    return _Attempt(text, typed, _lost(conversation, template, typed, text))


def _lost(conversation: Conversation, template: ChatTemplate, typed: frozenset[int], text: str) -> frozenset[int]:
    """The messages that are not in their rendering.

    What is long is looked for as it is. A short text may also be part of the template, and a template may change what
    is said; so in place of what was not found a mark is given, which nothing else says.
    """
    unsure = _not_found(conversation, typed, text)
    if not unsure:
        return frozenset()
    mark = "qz"
    while any(mark in message.text.lower() for message in conversation):
        mark += "qz"
    marks = {n: f"{mark}{n}x{mark}" for n in unsure}
    marked = tuple(
        replace(message, text=marks[n], ids=None) if n in marks else message for n, message in enumerate(conversation)
    )
    try:
        shown = template.render(marked, typed=typed).lower()
    except BadTemplate:  # it looks into what is said
        return frozenset(n for n in unsure if conversation[n].text.strip() not in text)
    return frozenset(n for n in unsure if marks[n] not in shown or _UNPLACED.format(marks[n]) in shown)


def _not_found(conversation: Conversation, typed: frozenset[int], text: str) -> list[int]:
    """The messages whose text does not certainly stand here, one after the other; those without text do."""
    unsure, at = [], 0
    for n, message in enumerate(conversation):
        if not message.text.strip():
            continue
        end = None if n in typed else _end_of(message.text, text, at)
        if end is None:
            unsure.append(n)
        else:
            at = end
    return unsure


def _end_of(said: str, text: str, start: int) -> int | None:
    """Where a form of what was said ends in the text; None if none does, or if that is too short to tell."""
    for form in forms(said):
        if len(form) >= _TELLING and (at := text.find(form, start)) >= 0:
            return at + len(form)
    return None
