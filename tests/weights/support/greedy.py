"""The text that a model writes when it always takes the likeliest token. Knows no test."""

from __future__ import annotations

from core.engine import decoder_for
from core.model import Model


def greedy(model: Model, ids: list[int], n: int) -> list[int]:
    decoder = decoder_for(model)
    for _ in decoder.prefill(ids):
        pass
    found = [int(decoder.logits(len(ids) - 1).argmax())]
    while len(found) < n:
        found.append(int(decoder.decode_one(found[-1]).argmax()))
    return found
