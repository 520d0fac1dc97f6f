"""The text side of a model's files: tokenizer, chat template, the tokens that end a turn. Knows no format, no torch."""

from __future__ import annotations

from core.conversation import Message
from core.errors import BadTemplate
from core.text.chat_template import ChatTemplate
from core.text.placement import place
from core.text.tokenizer import Tokenizer
from weights.library.names import find
from weights.model_files import ModelFiles
from weights.open import open_files
from weights.turn_ends import IN_TEMPLATES

_LONGEST_TOKEN = 64  # characters


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model by its name or path, without its weights.

    Raises:
        LogitscopeError: see `find`, `open_files` and `ModelFiles.read_tokenizer`.
    """
    return open_files(find(name)).read_tokenizer()


def read_template(files: ModelFiles) -> ChatTemplate | None:
    """
    Raises:
        BadTemplate: its syntax is wrong.
    """
    source = files.template
    return None if source is None else ChatTemplate(source, files.specials)


def end_ids(files: ModelFiles, tokenizer: Tokenizer, template: ChatTemplate | None) -> frozenset[int]:
    """Every token that ends a reply: what the files name, and what the template closes a turn with."""
    source = files.template or ""
    names = {*files.end_tokens, *(name for name in IN_TEMPLATES if name in source)}
    named = {token_id for name in names if (token_id := tokenizer.id_of(name)) is not None}
    closing = None if template is None else _closing_id(template, tokenizer)
    return files.end_ids | named | ({closing} if closing is not None else set())


def _closing_id(template: ChatTemplate, tokenizer: Tokenizer) -> int | None:
    """The special token that this template puts right after an answer; None if it puts none there."""
    answer = "\ue000an answer\ue001"
    turns = (
        Message(role="user", text="?"),
        Message(role="assistant", text=answer),
        Message(role="user", text="?"),
    )
    try:
        text = place(turns, template).text
    except BadTemplate:  # whoever speaks next will be told
        return None
    _, answered, after = text.rpartition(answer)
    following = tokenizer.encode(after.lstrip()[:_LONGEST_TOKEN]) if answered else []
    return following[0] if following and following[0] in tokenizer.special_ids else None
