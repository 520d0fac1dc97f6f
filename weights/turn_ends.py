"""Tokens that end a turn by what they are called, as no file names them all. Must not know how files are read."""

from __future__ import annotations

_OF_BOTH = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>")

# How chat templates close a turn. Not every checkpoint's config names its own as an end token.
IN_TEMPLATES = (*_OF_BOTH, "<|end_of_turn|>")

# What llama.cpp takes for the end of a turn, as no key of a GGUF file lists them all.
_IN_LLAMA_CPP = frozenset(
    (
        *_OF_BOTH,
        *("<|return|>", "<|call|>", "<|endoftext|>", "<|end_of_text|>", "<end_of_utterance>"),
        *("<|fim_pad|>", "<|fim_repo|>", "<|repo_name|>", "<|file_sep|>"),  # the end of a piece of code
    )
)
# The same, but a text may hold them too: Gemma has the HTML tag </s> as a token.
_PLAIN_IN_LLAMA_CPP = frozenset(("</s>", "<eos>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]"))
_NORMAL, _USER_DEFINED = 1, 4  # types of tokens in a GGUF file


def ends_turn(text: str, kind: float) -> bool:
    """Whether a token of a GGUF file ends a turn by its name, where its type does not say that it is text.

    Args:
        kind: its type. Files often give that of text (1, 4) to marks that nothing but a template would write.
    """
    if kind == _USER_DEFINED:
        return text in _OF_BOTH
    return text in _IN_LLAMA_CPP or (kind != _NORMAL and text in _PLAIN_IN_LLAMA_CPP)
