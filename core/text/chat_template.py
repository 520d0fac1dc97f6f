"""A conversation becomes the prompt a model was trained on: its Jinja template, in a sandbox, then tokens.

Templates come from strangers' files, so they run in Jinja's immutable sandbox with only the names that
`transformers` gives them. Knows no file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser

from core.conversation import Conversation, Message
from core.errors import BadTemplate
from core.text.sandbox import BudgetEnvironment
from core.text.thinking import CLOSE
from core.text.tokenizer import Tokenizer

# Private-use characters that stand for a message while its surroundings are rendered.
_MARK = "\ue000{}\ue001"

_LONGEST_REASON = 200  # characters
_PER_MESSAGE = 100  # characters that a message is worth when a budget is made for it


class _Generation(Extension):
    """`{% generation %}` marks what a model is trained on; for chatting it is transparent."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own interface

    def parse(self, parser: Parser) -> Node | list[Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_transparent"), [], [], body).set_lineno(line)

    def _transparent(self, caller: Any) -> str:
        return str(caller())


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


class ChatTemplate:
    """One model's template and the special tokens it may name (`bos_token`, `eos_token` ...)."""

    def __init__(self, source: str, specials: Mapping[str, str]) -> None:
        self._environment = BudgetEnvironment([_Generation, loopcontrols])
        self._environment.filters["tojson"] = self._to_json
        self._environment.limit_filters()
        self._environment.globals["raise_exception"] = _raise_exception
        self._environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)  # noqa: A006
        self._specials = dict(specials)
        try:
            self._template = self._environment.from_string(source)
        except Exception as error:  # whatever a stranger's program can run into
            raise BadTemplate(f"The model's chat template cannot be read: {_reason(error)}.", _HINT) from error

    def _to_json(self, value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        """Unlike Jinja's own, as `transformers` has it: nothing is escaped for HTML."""
        return self._environment.concat(json.JSONEncoder(ensure_ascii=ensure_ascii, **options).iterencode(value))

    def render(self, conversation: Conversation, *, add_generation_prompt: bool = True) -> str:
        """The prompt as text, up to where the assistant is to speak.

        Raises:
            BadTemplate: the template refuses this conversation, or fails on it.
        """
        messages = [{"role": message.role, "content": message.text} for message in conversation]
        self._environment.refill(sum(len(message.text) + _PER_MESSAGE for message in conversation))
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._specials,
            )
        except Exception as error:  # whatever a stranger's program can run into
            raise BadTemplate(
                f"The model's chat template refuses this conversation: {_reason(error)}.", _HINT
            ) from error


def _reason(error: Exception) -> str:
    """What went wrong, on one line, without a full stop of its own."""
    text = " ".join(str(error).split()) or type(error).__name__
    short = text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…"
    return short.rstrip(".")


_HINT = "Feed the text as it is (--raw) or choose another model."


def prompt_ids(conversation: Conversation, template: ChatTemplate | None, tokenizer: Tokenizer) -> list[int]:
    """The tokens a model reads before it answers.

    A turn that was produced as tokens goes in as those very tokens, and a text that spells a special token goes in
    as plain characters; all the rest is the tokenization of the rendered text. Without a template the texts follow
    each other as they are, for a model that only continues text.
    """
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
        before, found, text = text.partition(mark)
        if not found:
            return None
        pieces.append(before)
    return [*pieces, text]
