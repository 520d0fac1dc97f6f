"""The text that a model writes when it always takes the likeliest token. Knows no test."""

from __future__ import annotations

from core.decoding.decoder import Decoder
from core.model import Model


def greedy(model: Model, ids: list[int], n: int) -> list[int]:
    decoder = Decoder(model.transformer, device=model.device, dtype=model.dtype)
    for _ in decoder.prefill(ids):
        pass
    found = [int(decoder.logits(len(ids) - 1).argmax())]
    while len(found) < n:
        found.append(int(decoder.decode_one(found[-1]).argmax()))
    return found
