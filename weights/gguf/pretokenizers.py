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


def _cased_words(ending: str, digits: str) -> str:
    """A new word where a capital follows a small letter, each with this ending; so many digits at a time."""
    before, capital, small = r"[^\r\n\p{L}\p{N}]?", r"(?:(?=\p{L})[^a-z])", r"(?:(?=\p{L})[^A-Z])"
    words = rf"{before}{capital}*{small}+{ending}|{before}{capital}+{small}*{ending}"
    return rf"{words}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


# White space that is not ASCII is no part of a range of characters to llama.cpp.
_EAST_ASIAN = r"[[\x{4E00}-\x{9FA5}\x{800}-\x{4E00}\x{AC00}-\x{D7FF}]&&[^\s]]+"
_PUNCTUATION = r"\s?[[!-/:-~\x{FF01}-\x{FF0F}\x{FF1A}-\x{FF5E}\x{2018}-\x{201F}\x{3000}-\x{3002}]&&[^\s]]+"
_LETTERS_OF_DEEPSEEK = (
    r"A-Za-z\x{B5}\x{C0}-\x{D6}\x{D8}-\x{F6}\x{F8}-\x{1BA}\x{1BC}-\x{1BF}\x{1C4}-\x{293}\x{295}-\x{2AF}"
    r"\x{370}-\x{373}\x{376}\x{377}\x{37B}-\x{37D}\x{37F}\x{386}\x{388}-\x{38A}\x{38C}\x{38E}-\x{3A1}"
    r"\x{3A3}-\x{3F5}\x{3F7}-\x{481}\x{48A}-\x{52F}\x{531}-\x{556}\x{10A0}-\x{10C5}\x{13A0}-\x{13F5}"
    r"\x{13F8}-\x{13FD}\x{1C90}-\x{1CBA}\x{1CBD}-\x{1CBF}\x{1D00}-\x{1D2B}\x{1D6B}-\x{1D77}"
    r"\x{1D79}-\x{1D9A}\x{1E00}-\x{1F15}\x{1F18}-\x{1F1D}\x{1F20}-\x{1F45}\x{1F48}-\x{1F4D}"
    r"\x{1F50}-\x{1F57}\x{1F59}\x{1F5B}\x{1F5D}\x{1F5F}-\x{1F7D}\x{1F80}-\x{1FB4}\x{1FB6}-\x{1FBC}\x{1FBE}"
    r"\x{1FC2}-\x{1FC4}\x{1FC6}-\x{1FCC}\x{1FD0}-\x{1FD3}\x{1FD6}-\x{1FDB}\x{1FE0}-\x{1FEC}"
    r"\x{1FF2}-\x{1FF4}\x{1FF6}-\x{1FFC}\x{2102}\x{2107}\x{210A}-\x{2113}\x{2115}\x{2119}-\x{211D}\x{2124}"
    r"\x{2126}\x{2128}\x{212A}-\x{212D}\x{212F}-\x{2134}\x{2139}\x{213C}-\x{213F}\x{2145}-\x{2149}\x{214E}"
    r"\x{2183}\x{2184}\x{2C00}-\x{2C7B}\x{2C7E}-\x{2CE4}\x{2CEB}-\x{2CEE}\x{2CF2}\x{2CF3}\x{A640}-\x{A66D}"
    r"\x{A680}-\x{A69B}\x{A722}-\x{A76F}\x{A771}-\x{A787}\x{A78B}-\x{A78E}\x{AB70}-\x{ABBF}"
    r"\x{FB00}-\x{FB06}\x{FB13}-\x{FB17}\x{FF21}-\x{FF3A}\x{FF41}-\x{FF5A}\x{10400}-\x{1044F}"
    r"\x{104B0}-\x{104D3}\x{104D8}-\x{104FB}\x{10C80}-\x{10CB2}\x{10CC0}-\x{10CF2}\x{118A0}-\x{118DF}"
    r"\x{1E900}-\x{1E943}"
)
_ASCII_WORDS = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"
_MARKED_WORDS = r"[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"


@dataclass(frozen=True, kw_only=True)
class PreTokenizer:
    expressions: tuple[str, ...]  # each cuts what those before it left
    whole_words: bool = False  # a word that is in the vocabulary is taken as it is, whatever the merges say
    add_bos: bool = False  # unless the file says otherwise

    def build(self, *, without: str = "") -> pre_tokenizers.PreTokenizer:
        """
        Args:
            without: stand-ins of bytes that are left out of every word, and part what is on either side.
        """
        cuts = [pre_tokenizers.Split(Regex(expression), "isolated") for expression in self.expressions]
        codes = "".join(rf"\x{{{ord(character):X}}}" for character in without)
        gaps = [pre_tokenizers.Split(Regex(f"[{codes}]"), "removed")] if without else []
        return pre_tokenizers.Sequence(
            [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False), *gaps]
        )


_PLAIN = PreTokenizer(expressions=(_GPT2,))
_DIGITS_APART = PreTokenizer(expressions=(r"\p{N}", _GPT2))
_THREE_DIGITS = PreTokenizer(expressions=(_words(r"\p{N}{1,3}"),))
_LLAMA3 = PreTokenizer(expressions=_THREE_DIGITS.expressions, whole_words=True, add_bos=True)
_QWEN2 = PreTokenizer(expressions=(_words(r"\p{N}"),))
_DEFAULT = PreTokenizer(expressions=(r"[\p{P}\$\+<=>\^~\|]+", _GPT2, r"\p{N}+", "[0-9][0-9][0-9]"))
_FALCON = PreTokenizer(expressions=(r"[\p{P}\$\+<=>\^~\|`]+", _GPT2, "[0-9][0-9][0-9]"))
_TEKKEN = PreTokenizer(expressions=(_cased_words("", r"\p{N}"),), whole_words=True, add_bos=True)
_GPT4O = PreTokenizer(expressions=(_cased_words(f"(?:{_CONTRACTIONS})?", r"\p{N}{1,3}"),))
_DEEPSEEK_LLM = PreTokenizer(
    expressions=(r"[\r\n]", rf"\s?[{_LETTERS_OF_DEEPSEEK}]+", _PUNCTUATION, r"\s+$", _EAST_ASIAN, r"\p{N}+")
)
_DEEPSEEK_CODER = PreTokenizer(expressions=(r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", _EAST_ASIAN, r"\p{N}"))
_DEEPSEEK_V3 = PreTokenizer(
    expressions=(
        r"\p{N}{1,3}",
        r"[\x{4E00}-\x{9FA5}\x{3040}-\x{309F}\x{30A0}-\x{30FF}]+",
        rf"{_ASCII_WORDS}|{_MARKED_WORDS}|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
_QWEN35 = PreTokenizer(
    expressions=(
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)
_SEED_CODER = PreTokenizer(
    expressions=(
        rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+",
    )
)

PRE_TOKENIZERS = {
    "default": _DEFAULT,
    **dict.fromkeys(("gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "exaone4", "a.x-4.0", "mellum"), _PLAIN),
    **dict.fromkeys(("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"), _DIGITS_APART),
    **dict.fromkeys(("llama-bpe", "llama3", "llama-v3", "falcon3", "pixtral", "lfm2", "midm-2.0"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), _THREE_DIGITS),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "kormo"), _QWEN2),
    "tekken": _TEKKEN,
    **dict.fromkeys(("gpt-4o", "llama4"), _GPT4O),
    "falcon": _FALCON,
    "deepseek-llm": _DEEPSEEK_LLM,
    "deepseek-coder": _DEEPSEEK_CODER,
    "deepseek-v3": _DEEPSEEK_V3,
    "qwen35": _QWEN35,
    "seed-coder": _SEED_CODER,
}
