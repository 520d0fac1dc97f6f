"""The token ids a model reads before it answers. What was produced or read as tokens is never tokenized anew."""

from __future__ import annotations

from collections.abc import Iterator

from core.conversation import Conversation, Message
from core.text.chat_template import ChatTemplate
from core.text.thinking import CLOSE
from core.text.tokenizer import Tokenizer

# Private-use characters that stand for a message while its surroundings are rendered.
_MARK = "\ue000{}\ue001"


def prompt_ids(conversation: Conversation, template: ChatTemplate | None, tokenizer: Tokenizer) -> list[int]:
    """The tokens a model reads before it answers.

    A turn that was produced as tokens goes in as those very tokens, and a text that spells a special token goes in
    as plain characters; all the rest is the tokenization of the rendered text. Without a template the texts follow
    each other as they are, for a model that only continues text. Where every prompt begins with a mark of the
    vocabulary's, as llama.cpp has it, it does so once, whether or not the template writes it.
    """
    return tokenizer.begun(_ids_of(conversation, template, tokenizer))


def _ids_of(conversation: Conversation, template: ChatTemplate | None, tokenizer: Tokenizer) -> list[int]:
    if template is None:
        return tokenizer.encode("\n".join(message.text for message in conversation), add_special=True)
    whole = template.render(conversation)
    spelled = [tokenizer.has_special(message.text) or _MARK[0] in message.text for message in conversation]
    produced = [message.ids is not None for message in conversation]
    # A template may change what the model said, such as cut its thoughts out; what others said is still safe then.
    for apart in ([a or b for a, b in zip(spelled, produced, strict=True)], spelled):
        if any(apart):
            ids = _spliced(conversation, apart, template, tokenizer, whole)
            if ids is not None:
                return ids
    return tokenizer.encode(whole)


def _spliced(
    conversation: Conversation, apart: list[bool], template: ChatTemplate, tokenizer: Tokenizer, whole: str
) -> list[int] | None:
    """The prompt with some messages' own tokens in place; None if the template does more than place or trim them."""
    marked = tuple(
        Message(role=message.role, text=_MARK.format(n)) if apart[n] else message
        for n, message in enumerate(conversation)
    )
    own = [message for n, message in enumerate(conversation) if apart[n]]
    around = _split(template.render(marked), [_MARK.format(n) for n, is_apart in enumerate(apart) if is_apart])
    if around is None or not whole.startswith(around[0]):
        return None
    ids, at = tokenizer.encode(around[0]), len(around[0])
    for message, following in zip(own, around[1:], strict=True):
        text = next((text for text in _forms(message.text) if whole.startswith(text + following, at)), None)
        if text is None:
            return None
        ids += _own_ids(message, text, tokenizer) + tokenizer.encode(following)
        at += len(text) + len(following)
    return ids if at == len(whole) else None


def _forms(text: str) -> Iterator[str]:
    """How a template may put what was said: as it is, trimmed, or without the thought that came before it."""
    yield from (text, text.strip(), text.lstrip("\n"))
    if CLOSE in text:
        answer = text.rpartition(CLOSE)[2]
        yield from (answer, answer.strip(), answer.lstrip("\n"))


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
