"""The text side of a checkpoint: tokenizer, chat template, the tokens that end a turn. Knows no family and no torch."""

from __future__ import annotations

from core.chat_template import ChatTemplate
from core.conversation import Message
from core.errors import BadCheckpoint, BadTemplate
from core.tokenizer import Tokenizer
from weights import shelf
from weights.checkpoint import Checkpoint, read_text

# How templates close a turn. Not every checkpoint's config names its own as an end token.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|end_of_turn|>")

_LONGEST_TOKEN = 64  # characters


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model on the shelf, without its weights.

    Raises:
        ModelNotFound, BadCheckpoint: see `shelf.find` and `read_tokenizer`.
    """
    return read_tokenizer(Checkpoint(shelf.find(name)))


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """
    Raises:
        BadCheckpoint: there is no tokenizer.json, or it is damaged.
    """
    file = checkpoint.tokenizer_file
    try:
        return Tokenizer.from_json(read_text(file))
    except ValueError as error:
        raise BadCheckpoint(
            f"{file} is damaged: the tokenizers library cannot read it.", "Copy or download it again."
        ) from error


def read_template(checkpoint: Checkpoint) -> ChatTemplate | None:
    """
    Raises:
        BadTemplate: its syntax is wrong.
    """
    source = checkpoint.template
    return None if source is None else ChatTemplate(source, checkpoint.specials)


def end_ids(checkpoint: Checkpoint, tokenizer: Tokenizer, template: ChatTemplate | None) -> frozenset[int]:
    """Every token that ends a reply: what the files name, and what the template closes a turn with."""
    source = checkpoint.template or ""
    names = {*checkpoint.end_tokens, *(name for name in _TURN_ENDS if name in source)}
    found = {one for name in names if (one := tokenizer.id_of(name)) is not None}
    closing = None if template is None else _closing_id(template, tokenizer)
    return checkpoint.end_ids | found | ({closing} if closing is not None else set())


def _closing_id(template: ChatTemplate, tokenizer: Tokenizer) -> int | None:
    """The special token that this template puts right after an answer; None if it puts none there."""
    answer = "\ue000an answer\ue001"
    turns = (
        Message(role="user", text="?"),
        Message(role="assistant", text=answer),
        Message(role="user", text="?"),
    )
    try:
        text = template.render(turns)
    except BadTemplate:  # whoever speaks next will be told
        return None
    _, found, after = text.rpartition(answer)
    following = tokenizer.encode(after.lstrip()[:_LONGEST_TOKEN]) if found else []
    return following[0] if following and following[0] in tokenizer.special_ids else None
