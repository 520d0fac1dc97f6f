"""One number in [0, 1) for every position, and the token that it picks. Must not know how the candidates were cut."""

from __future__ import annotations

import hashlib

import numpy as np

from core.sampling.chain import Pool
from core.sampling.top import Floats, best_by_mass


def dice(seed: int, position: int) -> float:
    """The uniform number in [0, 1) that belongs to a position: always the same for the same seed.

    Keyed rather than drawn in turn, so that rewinding, looking twice or changing a setting never changes the luck.
    """
    key = seed.to_bytes(8, "little") + position.to_bytes(8, "little")
    return (int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little") >> 11) / 2**53


def draw(pool: Pool, probabilities: Floats, uniform: float) -> int:
    """The token whose share of [0, 1), laid out from the likeliest to the least likely, holds the number drawn."""
    order = best_by_mass(pool.logits, probabilities, uniform)
    ends = np.cumsum(probabilities[order])
    at = int(np.searchsorted(ends, uniform, side="right"))
    while at > 0 and (at >= len(order) or probabilities[order[at]] == 0):
        at -= 1  # rounding may leave the last end a hair below 1
    return int(pool.ids[order[at]])
