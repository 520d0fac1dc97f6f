"""The largest of many numbers without sorting them all. Must not know what they mean.

Sorting a vocabulary of 150,000 takes longer than a small model's whole step, and a cut-off by mass rarely needs more
than its head; more of it is sorted only when it does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

_HEAD, _GROWTH = 256, 8  # numbers that are sorted at first, and how many times as many after that
_BLOCKS = 1024  # whose largest are looked at first, when only a few of many numbers are wanted
_SMALL = 256  # up to here a stable sort is the quickest way


def best(logits: Floats, count: int) -> Ids:
    """Indices of the `count` largest, largest first, equal ones by index: (count,)."""
    if count < 1:
        return np.empty(0, dtype=np.int64)
    if count >= len(logits):
        return argsort_descending(logits)
    within = largest(logits, count)
    return within[argsort_descending(logits[within])[:count]]


def largest(logits: Floats, count: int) -> Ids:
    """The ascending indices of the `count` largest, and of a few more: (n,), n >= count."""
    return np.flatnonzero(logits >= kth_largest_bound(logits, count))


def kth_largest_bound(logits: Floats, count: int) -> float:
    """A number that at least `count` of these reach, and few others: the count-th largest, or a little below it.

    Of many numbers only the largest of each block is looked at: the count-th largest of those is not above the
    count-th largest of all, and not far below it, as the largest seldom share a block.
    """
    blocks = max(_BLOCKS, 4 * count)
    if len(logits) >= 2 * blocks:
        logits = logits[: len(logits) // blocks * blocks].reshape(-1, blocks).max(axis=0)  # (blocks,)
    return float(np.partition(logits, len(logits) - count)[len(logits) - count])


def argsort_descending(values: Floats) -> Ids:
    """Indices by falling value, equal ones by index: (n,)."""
    if len(values) <= _SMALL:
        return np.argsort(-values, kind="stable")
    order = np.argsort(-values)  # many times quicker than a stable sort, and only equal ones can be out of order
    ordered = values[order]
    differs = ordered[1:] != ordered[:-1]
    if differs.all():
        return order
    place = np.concatenate(([0], np.cumsum(differs)))  # equal ones share it: (n,)
    return np.sort(place * len(order) + order) % len(order)


def best_by_mass(scores: Floats, weights: Floats, mass: float) -> Ids:
    """Indices by falling score, equal ones by index, as many as are sure to hold `mass` of the weights."""
    count = _HEAD
    while count < len(scores):
        head = best(scores, count)
        if np.cumsum(weights[head])[-1] > mass:  # added up as the callers do: to the last bit, or the head is short
            return head
        count *= _GROWTH
    return best(scores, len(scores))
