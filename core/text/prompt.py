"""The token ids a model reads before it answers. What was produced or read as tokens is never tokenized anew."""

from __future__ import annotations

from typing import NamedTuple

from core.conversation import Conversation, Message
from core.text.chat_template import ChatTemplate
from core.text.placement import Placement, forms, place
from core.text.tokenizer import Tokenizer

# Private-use characters that stand for a message while its surroundings are rendered.
_MARK = "\ue000{}\ue001"


class Prompt(NamedTuple):
    """The tokens of a conversation."""

    ids: list[int]
    remarks: tuple[str, ...] = ()  # what does not stand where it was said, in sentences for the person


def prompt_ids(conversation: Conversation, template: ChatTemplate | None, tokenizer: Tokenizer) -> list[int]:
    """The tokens a model reads before it answers; see `make_prompt`."""
    return make_prompt(conversation, template, tokenizer).ids


def make_prompt(conversation: Conversation, template: ChatTemplate | None, tokenizer: Tokenizer) -> Prompt:
    """The tokens a model reads before it answers, and what to say of them.

    A turn that was produced as tokens goes in as those very tokens, and a text that spells a special token goes in
    as plain characters; all the rest is the tokenization of the rendered text. Without a template the texts follow
    each other as they are, for a model that only continues text. Where every prompt begins with a mark of the
    vocabulary's, as llama.cpp has it, it does so once, whether or not the template writes it.

    Raises:
        BadTemplate: see `place`.
    """
    if template is None:
        texts = [message.text for message in conversation if message.role != "system" or message.text]
        return Prompt(tokenizer.begun(tokenizer.encode("\n".join(texts), add_special=True)))
    placed = place(conversation, template)
    return Prompt(tokenizer.begun(_ids_of(placed, template, tokenizer)), placed.remarks)


def _ids_of(placed: Placement, template: ChatTemplate, tokenizer: Tokenizer) -> list[int]:
    spelled = [tokenizer.has_special(message.text) or _MARK[0] in message.text for message in placed.conversation]
    produced = [message.ids is not None for message in placed.conversation]
    # A template may change what the model said, such as cut its thoughts out; what others said is still safe then.
    for apart in ([a or b for a, b in zip(spelled, produced, strict=True)], spelled):
        if any(apart):
            ids = _spliced(placed, apart, template, tokenizer)
            if ids is not None:
                return ids
    return tokenizer.encode(placed.text)


def _spliced(placed: Placement, apart: list[bool], template: ChatTemplate, tokenizer: Tokenizer) -> list[int] | None:
    """The prompt with some messages' own tokens in place; None if the template does more than place or trim them."""
    conversation, whole = placed.conversation, placed.text
    marked = tuple(
        Message(role=message.role, text=_MARK.format(n)) if apart[n] else message
        for n, message in enumerate(conversation)
    )
    own = [message for n, message in enumerate(conversation) if apart[n]]
    shown = template.render(marked, typed=placed.typed)
    around = _split(shown, [_MARK.format(n) for n, is_apart in enumerate(apart) if is_apart])
    if around is None or not whole.startswith(around[0]):
        return None
    ids, at = tokenizer.encode(around[0]), len(around[0])
    for message, following in zip(own, around[1:], strict=True):
        text = next((text for text in forms(message.text) if whole.startswith(text + following, at)), None)
        if text is None:
            return None
        ids += _own_ids(message, text, tokenizer) + tokenizer.encode(following)
        at += len(text) + len(following)
    return ids if at == len(whole) else None


def _own_ids(message: Message, text: str, tokenizer: Tokenizer) -> list[int]:
    """The tokens of this form of a message: those it was produced as, wherever they begin where the form does."""
    if message.ids is None:
        return tokenizer.encode(text, literal=True)
    if text.strip() == message.text.strip():
        return list(message.ids)
    end = b""
    for start in range(len(message.ids) - 1, -1, -1):
        if message.ids[start] not in tokenizer.silent_ids:
            end = tokenizer.token_bytes(message.ids[start]) + end
        if len(end) >= len(text) and end.decode("utf-8", "replace").rstrip() == text.rstrip():
            return list(message.ids[start:])
    return tokenizer.encode(text, literal=True)


def _split(text: str, marks: list[str]) -> list[str] | None:
    """What stands around these marks, one piece more than there are marks; None if one is missing."""
    pieces = []
    for mark in marks:
        before, mark_found, text = text.partition(mark)
        if not mark_found:
            return None
        pieces.append(before)
    return [*pieces, text]
