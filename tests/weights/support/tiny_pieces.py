"""A small vocabulary of pieces with scores, as of SentencePiece, for a GGUF file. Knows no test."""

from __future__ import annotations

import random

from gguf import GGUFWriter, TokenType

from tests.weights.support import tiny_gguf

_BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def add_pieces(writer: GGUFWriter, pieces: dict[str, float], types: dict[str, int] | None = None) -> None:
    """<unk>, <s>, </s>, the bytes, and these."""
    tokens = ["<unk>", "<s>", "</s>", *_BYTES, *pieces]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL, *[TokenType.BYTE] * 256]
    kinds += [TokenType((types or {}).get(piece, TokenType.NORMAL)) for piece in pieces]
    scores = [0.0] * (len(tokens) - len(pieces)) + list(pieces.values())
    tiny_gguf.add_tokenizer(writer, tokens, kinds, model="llama", scores=scores)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def some_pieces(seed: int = 0) -> dict[str, float]:
    """Letters, and joins of them at random, the best first; runs of spaces share one score, as Llama's do."""
    rng = random.Random(seed)
    letters = list("abcdehlnost.,!'0123é▁")
    known = list(letters)
    while len(known) < 200:
        joined = rng.choice(known) + rng.choice(known)
        if joined not in known and len(joined) <= 8 and set(joined) != {"▁"}:
            known.append(joined)
    joins = {text: -float(rank) for rank, text in enumerate(known[len(letters) :], 1)}
    runs = {"▁" * n: -1e9 for n in (*range(2, 9), 16)}
    return joins | runs | dict.fromkeys(letters, -1000000000.0)
