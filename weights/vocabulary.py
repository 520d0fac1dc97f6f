"""The text side of a model's files: tokenizer, chat template, the tokens that end a turn. Knows no format, no torch."""

from __future__ import annotations

from core.chat_template import ChatTemplate
from core.tokenizer import Tokenizer
from weights import shelf
from weights.model_files import ModelFiles
from weights.opening import open_files

# How templates close a turn. Not every checkpoint's config names its own as an end token.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>", "<|end_of_turn|>")


def load_tokenizer(name: str) -> Tokenizer:
    """The tokenizer of a model on the shelf, without its weights.

    Raises:
        LogitscopeError: see `shelf.find`, `open_files` and `ModelFiles.read_tokenizer`.
    """
    return open_files(shelf.find(name)).read_tokenizer()


def read_template(files: ModelFiles) -> ChatTemplate | None:
    """
    Raises:
        BadTemplate: its syntax is wrong.
    """
    source = files.template
    return None if source is None else ChatTemplate(source, files.specials)


def end_ids(files: ModelFiles, tokenizer: Tokenizer) -> frozenset[int]:
    """Every token that ends a reply: what the files name, the tokenizer's own end token, what the template closes
    a turn with."""
    template = files.template or ""
    names = [name for name in _TURN_ENDS if name in template]
    if eos := files.specials.get("eos_token"):
        names.append(eos)
    found = (tokenizer.id_of(name) for name in names)
    return files.end_ids | {one for one in found if one is not None}
