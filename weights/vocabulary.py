"""The text side of a checkpoint: tokenizer, chat template, the tokens that end a turn. Knows no family and no torch."""

from __future__ import annotations

from core.chat_template import ChatTemplate
from core.errors import BadCheckpoint
from core.tokenizer import Tokenizer
from weights import shelf
from weights.checkpoint import Checkpoint, read_text

# How templates close a turn. Not every checkpoint's config names its own as an end token.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|end_of_turn|>")


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


def end_ids(checkpoint: Checkpoint, tokenizer: Tokenizer) -> frozenset[int]:
    """Every token that ends a reply: what the configs name, the tokenizer's own end token, what the template closes
    a turn with."""
    template = checkpoint.template or ""
    names = [name for name in _TURN_ENDS if name in template]
    if eos := checkpoint.specials.get("eos_token"):
        names.append(eos)
    found = (tokenizer.id_of(name) for name in names)
    return checkpoint.end_ids | {one for one in found if one is not None}
