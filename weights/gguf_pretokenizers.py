"""How llama.cpp cuts a text into words before byte-pair merges, by the name in `tokenizer.ggml.pre`.

The expressions are facts about the models; llama.cpp's own list of names is longer, and whoever is not here is refused.
Knows no file.
"""

from __future__ import annotations

from dataclasses import dataclass

from tokenizers import Regex, pre_tokenizers

# Where llama.cpp and the model's own tokenizer.json differ (ſ as an s in "'ſ"), this is llama.cpp's way.
_CONTRACTIONS = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"


def _words(digits: str) -> str:
    """The expression of GPT-4, with so many digits at a time."""
    letters, others = r"[^\r\n\p{L}\p{N}]?\p{L}+", r" ?[^\s\p{L}\p{N}]+[\r\n]*"
    return rf"{_CONTRACTIONS}|{letters}|{digits}|{others}|\s*[\r\n]+|\s+(?!\S)|\s+"


@dataclass(frozen=True, kw_only=True)
class PreTokenizer:
    expressions: tuple[str, ...]  # each cuts what those before it left
    whole_words: bool = False  # a word that is in the vocabulary is taken as it is, whatever the merges say
    add_bos: bool = False  # unless the file says otherwise

    def build(self) -> pre_tokenizers.PreTokenizer:
        cuts = [pre_tokenizers.Split(Regex(one), "isolated") for one in self.expressions]
        return pre_tokenizers.Sequence([*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


_PLAIN = PreTokenizer(expressions=(_GPT2,))
_DIGITS_APART = PreTokenizer(expressions=(r"\p{N}", _GPT2))
_THREE_DIGITS = PreTokenizer(expressions=(_words(r"\p{N}{1,3}"),))
_LLAMA3 = PreTokenizer(expressions=_THREE_DIGITS.expressions, whole_words=True, add_bos=True)
_QWEN2 = PreTokenizer(expressions=(_words(r"\p{N}"),))
_DEFAULT = PreTokenizer(expressions=(r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"))

PRE_TOKENIZERS = {
    "default": _DEFAULT,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4"), _PLAIN),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_APART),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _THREE_DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan"), _QWEN2),
}
