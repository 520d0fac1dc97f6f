"""A conversation becomes the text a model was trained on: its Jinja template, in a sandbox.

Templates come from strangers' files, so they run in Jinja's immutable sandbox with only the names that
`transformers` gives them. Knows no file.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, NoReturn

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser

from core.conversation import Conversation
from core.errors import BadTemplate
from core.text.sandbox import BudgetEnvironment, TooMuch

_LONGEST_REASON = 200  # characters
_HINT = "Choose another model."
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

    def render(
        self, conversation: Conversation, *, typed: Collection[int] = (), add_generation_prompt: bool = True
    ) -> str:
        """The prompt as text, up to where the assistant is to speak. What was said may be missing: see `place`.

        Args:
            typed: the messages whose content is told as a list of typed parts, and not as a text.

        Raises:
            BadTemplate: the template refuses this conversation, or fails on it.
        """
        messages = [
            {"role": message.role, "content": _parts(message.text) if n in typed else message.text}
            for n, message in enumerate(conversation)
        ]
        text = sum(len(message.text) + _PER_MESSAGE for message in conversation)
        self._environment.refill(text, pairs=len(conversation) ** 2)
        try:
            return self._template.render(
                messages=messages,
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                **self._specials,
            )
        except TooMuch as error:
            raise BadTemplate(
                f"The model's chat template does too much with this conversation: {_reason(error)}.",
                "Shorten the conversation, or choose another model.",
            ) from error
        except Exception as error:  # whatever a stranger's program can run into
            raise BadTemplate(
                f"The model's chat template refuses this conversation: {_reason(error)}.", _HINT
            ) from error


def _parts(text: str) -> list[dict[str, str]]:
    """A content in typed parts, as models that also take images have it."""
    return [{"type": "text", "text": text}]


def _reason(error: Exception) -> str:
    """What went wrong, on one line, without a full stop of its own."""
    text = " ".join(str(error).split()) or type(error).__name__
    short = text if len(text) <= _LONGEST_REASON else text[:_LONGEST_REASON] + "…"
    return short.rstrip(".")
