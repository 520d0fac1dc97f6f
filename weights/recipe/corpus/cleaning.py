"""What a text must look like before a small model learns from it. Knows no source and no tokenizer."""

from __future__ import annotations

import re
import unicodedata

PLAIN = {
    "\u2018": "'",
    "\u2019": "'",
    "\u201a": "'",
    "\u201c": '"',
    "\u201d": '"',
    "\u201e": '"',
    "\u2013": "-",
    "\u2014": " - ",
    "\u2015": " - ",
    "\u2026": "...",
    "\u00ad": "",
    "\ufeff": "",
    "\u200b": "",
}
RUDE = re.compile(
    r"\b(\w*fuck\w*|\w*shit\w*|bitch\w*|damn\w*|goddam\w*|hell|crap\w*|ass|asses|asshole\w*|bastard\w*|sex\w*|porn\w*|"
    r"nazis?|hitler|suicid\w*|rap(?:e|ed|es|ist)|nigg\w*|fag\w*|slut\w*|whor\w*|dick|cock|piss\w*|retard\w*|"
    r"negro\w*|hump|boobs?|naked|nude|horny|drunk|weed|cocaine|heroin|"
    r"kill(?:ed|ing|s)? (?:yourself|myself|himself|herself))\b",
    re.IGNORECASE,
)
PLACEHOLDER = re.compile(
    r"\[[A-Za-z0-9 _']{2,24}\]|\bname\]|\buser [12]\b|<[a-z_]{2,20}>|\{[a-z_]{2,20}\}|_{3,}|http|www\.|@\w",
    re.IGNORECASE,
)
ANOTHER_ASSISTANT = re.compile(
    r"\b(vicuna|lmsys|large model systems|openai|chat ?gpt|gpt-?\d|gpt|davinci\S*|claude|anthropic|siri|alexa|"
    r"cortana|google assistant|bard|gemini|llama|chatterbot|gunther|microsoft|amazon|hal 9000)\b",
    re.IGNORECASE,
)
MARKDOWN = re.compile(r"\*\*|```|^\s*[-*#] |^\s*\d+[.)] ", re.MULTILINE)
ASKS = re.compile(
    r"(who|what|when|where|why|which|how|is|are|am|was|were|do|does|did|can|could|will|would|should|have|has)\b",
    re.IGNORECASE,
)
WORD = re.compile(r"[A-Za-z]+(?:'[A-Za-z]+)?")


def normalised(text: str) -> str:
    """Straight quotes, plain spaces, mojibake undone, no control characters."""
    if "\u00e2\u20ac" in text or "\u00c3" in text:  # UTF-8 once read as Windows-1252
        text = text.encode("cp1252", "ignore").decode("utf-8", "ignore")
    text = "".join(PLAIN.get(char, char) for char in text)
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n"))
    text = re.sub(r"[^\S\n]+", " ", text)
    text = re.sub(r" ?\n ?", "\n", text)
    return "".join(char for char in text if char == "\n" or char.isprintable()).strip()


def cased(text: str) -> str:
    """ "I" is written large; a text without any other capital gets them at sentence starts too."""
    plain = not any(char.isupper() for char in text)
    text = re.sub(r"\bi\b(?!\.)", "I", text)
    if not plain:
        return text
    return re.sub(r"(^|[.!?]\s+)([a-z])", lambda found: found[1] + found[2].upper(), text)


def sentence(text: str) -> str:
    """One turn on one line, cased, and closed by a mark."""
    text = cased(re.sub(r"\s+", " ", text)).strip()
    text = re.sub(r"\s+([,.!?;:])(?=\s|$)", r"\1", text)
    text = re.sub(r"([!?.])\1{3,}", r"\1\1\1", text)
    text = text[:1].upper() + text[1:]
    if not text or text[-1] in ".!?\"')":
        return text
    return text + ("?" if ASKS.match(text) else ".")


def unwanted(text: str) -> bool:
    """Whether something in it must not be learnt: swearing, a blank to fill in, another assistant."""
    return bool(RUDE.search(text) or PLACEHOLDER.search(text) or ANOTHER_ASSISTANT.search(text))


def words(text: str) -> list[str]:
    return [word.lower() for word in WORD.findall(text)]


def share_known(text: str, known: frozenset[str]) -> float:
    """Which part of the words is among the known ones; 0 for a text without words."""
    found = words(text)
    return sum(word in known for word in found) / len(found) if found else 0.0
