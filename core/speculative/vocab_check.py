"""Whether two tokenizers give every token the same id, so that what one model says another can read. Knows no model."""

from __future__ import annotations

import re

from core.errors import BadDraft
from core.text.tokenizer import Tokenizer

_PADDING = re.compile(r"\[PAD\d+\]")  # what converters of files call a row of the embedding that no token has


def check_same(name: str, tokenizer: Tokenizer, draft: str, draft_tokenizer: Tokenizer) -> None:
    """Refuse a draft that speaks in other tokens.

    One may have more added tokens than the other, and rows that no token has: no ordinary text is cut into those.

    Raises:
        BadDraft: there is a token on which they differ.
    """
    for token_id in range(max(tokenizer.end, draft_tokenizer.end)):
        own, drafted = _piece(tokenizer, token_id), _piece(draft_tokenizer, token_id)
        only_own = not drafted and tokenizer.is_added(token_id)
        only_drafted = not own and draft_tokenizer.is_added(token_id)
        if own == drafted or only_own or only_drafted:
            continue
        raise BadDraft(
            f"{draft} cannot draft for {name}: token {token_id} is {_said(drafted)} in the one and {_said(own)} in the "
            "other.",
            "A draft needs the same vocabulary: choose a smaller model of the same family.",
        )


def _piece(tokenizer: Tokenizer, token_id: int) -> str:
    """How a token is spelled; empty if there is none."""
    piece = tokenizer.piece(token_id)
    return "" if _PADDING.fullmatch(piece) else piece


def _said(piece: str) -> str:
    return repr(piece) if piece else "none"
