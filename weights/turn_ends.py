"""Tokens that end a turn by what they are called, as no file names them all. Knows no format."""

from __future__ import annotations

_OF_BOTH = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<end_of_turn>", "<|end|>")

# How chat templates close a turn. Not every checkpoint's config names its own as an end token.
IN_TEMPLATES = (*_OF_BOTH, "<|end_of_turn|>")

# What llama.cpp takes for the end of a turn, as no key of a GGUF file lists them all.
IN_LLAMA_CPP = frozenset(
    (
        *_OF_BOTH,
        *("<|return|>", "<|call|>", "<|endoftext|>", "</s>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>"),
        *("<end_of_utterance>", "<eos>"),
        *("<|fim_pad|>", "<|fim_repo|>", "<|repo_name|>", "<|file_sep|>"),  # the end of a piece of code
        "<reponame>",  # of Granite and SmolLM2
    )
)
