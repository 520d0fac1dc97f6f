"""A plain 3-gram model: what can be had by counting alone, to measure the transformer against. Knows no file.

Interpolated absolute discounting (Ney, Essen and Kneser 1994): from every count a fixed part is taken away, and what is
taken is shared out by the shorter context's model, down to an equal chance for every token.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
DISCOUNT = 0.75
ORDER = 3


class Counts:
    """How often each run of `order` tokens was seen, and what followed each run that is one token shorter."""

    def __init__(self, grams: Ids) -> None:
        """`grams`: (n, order) ids."""
        self.order = grams.shape[1]
        runs, self.times = np.unique(keys(grams), return_counts=True)
        self.runs = runs
        contexts, where = np.unique(keys(grams[:, :-1]), return_inverse=True)
        self.contexts = contexts
        self.seen = np.bincount(where)  # how often each context was seen
        pairs = np.unique((where << 16) | grams[:, -1])
        self.followers = np.bincount(pairs >> 16)  # by how many different tokens

    def of(self, grams: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """For each run: how often it was seen, how often its context, and the context's different followers."""
        context = keys(grams[:, :-1])
        return (
            looked_up(self.runs, self.times, keys(grams)),
            looked_up(self.contexts, self.seen, context),
            looked_up(self.contexts, self.followers, context),
        )


class NGrams:
    """Counts of one, two and three tokens, and the probabilities that follow from them."""

    def __init__(self, texts: list[Ids], vocab_size: int) -> None:
        """`texts`: the ids of each document; nothing is counted across two of them."""
        self.vocab_size = vocab_size
        self.counts = [Counts(np.concatenate([windows(ids, order) for ids in texts])) for order in range(1, ORDER + 1)]

    def probabilities(self, ids: Ids) -> NDArray[np.float64]:
        """The chance of each token after the two before it: (tokens,)."""
        chance = np.full(len(ids), 1 / self.vocab_size)
        for order, counts in enumerate(self.counts, start=1):
            grams = windows(ids, order)
            if not len(grams):
                break
            times, seen, followers = counts.of(grams)
            known = seen > 0
            rest = chance[order - 1 :]
            taken = np.maximum(times - DISCOUNT, 0.0) + DISCOUNT * followers * rest
            chance[order - 1 :] = np.where(known, taken / np.maximum(seen, 1), rest)
        return chance


def windows(ids: Ids, order: int) -> Ids:
    """Every run of `order` tokens: (len(ids) - order + 1, order)."""
    if len(ids) < order:
        return np.empty((0, order), dtype=np.int64)
    return np.lib.stride_tricks.sliding_window_view(ids.astype(np.int64), order)


def keys(grams: Ids) -> Ids:
    """One number for each run of at most three ids below 2**16."""
    key = np.zeros(len(grams), dtype=np.int64)
    for column in range(grams.shape[1]):
        key = (key << 16) | grams[:, column]
    return key


def looked_up(known: Ids, values: NDArray[np.int64], wanted: Ids) -> NDArray[np.float64]:
    """The value of each wanted key among the sorted known ones; 0 where it is not among them."""
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    found: NDArray[np.float64] = np.where(known[place] == wanted, values[place], 0).astype(np.float64)
    return found
