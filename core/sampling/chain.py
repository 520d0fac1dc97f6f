"""From logits to one token: a chain of pure samplers in a visible order, then a throw of keyed dice.

A `Pool` is the tokens still in the running with their logits; every sampler takes one and returns one. Nothing here
knows a model, a tokenizer or torch: the logits of one position are a plain array.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.settings import Order, Settings

Floats = NDArray[np.float64]
Ids = NDArray[np.int64]

# Sorting a vocabulary of 150,000 takes longer than a small model's whole step, and a cut-off by mass rarely needs
# more than its head; more of it is sorted only when it does.
_HEAD, _GROWTH = 256, 8
_BLOCKS = 1024  # whose largest are looked at first, when only a few of many numbers are wanted
_SMALL = 256  # up to here a stable sort is the quickest way


@dataclass(frozen=True)
class Pool:
    """The tokens still in the running: ids ascending, and the logit of each. Both (n,), n >= 1."""

    ids: Ids
    logits: Floats

    def keep(self, wanted: NDArray[np.bool_] | Ids) -> Pool:
        """Only these, by mask or by ascending index."""
        return Pool(self.ids[wanted], self.logits[wanted])


Sampler = Callable[[Pool, Settings, Sequence[int]], Pool]


def softmax(logits: Floats) -> Floats:
    """exp(z - max z), normalised to 1: (n,)."""
    weights: Floats = logits - logits.max()
    np.exp(weights, out=weights)
    weights /= float(weights.sum())
    return weights


def best(logits: Floats, count: int) -> Ids:
    """Indices of the `count` largest, largest first, equal ones by index: (count,)."""
    if count < 1:
        return np.empty(0, dtype=np.int64)
    if count >= len(logits):
        return argsort_descending(logits)
    within = _largest(logits, count)
    return within[argsort_descending(logits[within])[:count]]


def _largest(logits: Floats, count: int) -> Ids:
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


# --- the samplers -------------------------------------------------------------------------------------------------


def penalties(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Make tokens of the recent past less likely.

    Repetition divides a positive logit and multiplies a negative one (Keskar et al. 2019, arXiv 1909.05858);
    presence is subtracted once, frequency once per occurrence, as OpenAI's API defines them.
    """
    window = settings.penalty_window
    recent = history if window < 0 else history[len(history) - min(window, len(history)) :]
    off = settings.repetition_penalty == 1 and settings.presence_penalty == 0 and settings.frequency_penalty == 0
    if off or not recent:
        return pool
    seen, counts = np.unique(np.asarray(recent, dtype=np.int64), return_counts=True)
    at = np.searchsorted(pool.ids, seen)
    there = (at < len(pool.ids)) & (pool.ids[np.minimum(at, len(pool.ids) - 1)] == seen)
    at, counts = at[there], counts[there]
    logits = pool.logits.copy()
    old = logits[at]
    scaled = np.where(old < 0, old * settings.repetition_penalty, old / settings.repetition_penalty)
    logits[at] = scaled - counts * settings.frequency_penalty - settings.presence_penalty
    return Pool(pool.ids, logits)


def top_k(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Keep the k likeliest; of equals, the lower ids."""
    if not 0 < settings.top_k < len(pool.ids):
        return pool
    within = pool.keep(_largest(pool.logits, settings.top_k))
    if len(within.ids) == settings.top_k:
        return within
    return within.keep(np.sort(best(within.logits, settings.top_k)))


def typical(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Keep tokens whose surprise is closest to the expected one (Meister et al. 2022, arXiv 2202.00666)."""
    if settings.typical_p >= 1:
        return pool
    probabilities = softmax(pool.logits)
    with np.errstate(divide="ignore"):
        surprise = -np.log(probabilities)  # inf where a probability underflowed
    entropy = float(np.dot(probabilities, np.where(probabilities > 0, surprise, 0)))
    return pool.keep(_until_mass(-np.abs(surprise - entropy), probabilities, settings.typical_p))


def top_p(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Keep the likeliest until their mass reaches p, the one that crosses it included (Holtzman et al. 2019)."""
    if settings.top_p >= 1:
        return pool
    return pool.keep(_until_mass(pool.logits, softmax(pool.logits), settings.top_p))


def min_p(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Keep tokens at least p times as likely as the likeliest (Nguyen et al. 2024, arXiv 2407.01082)."""
    if settings.min_p <= 0:
        return pool
    return pool.keep(pool.logits >= pool.logits.max() + np.log(settings.min_p))


def temperature(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Divide by T. At 0 only the largest logit stays, of equals the lowest id."""
    if settings.temperature == 0:
        return pool.keep(np.array([np.argmax(pool.logits)]))
    with np.errstate(over="ignore"):  # a tiny T sends all but the largest to -inf, which is right
        return Pool(pool.ids, (pool.logits - pool.logits.max()) / settings.temperature)


def _until_mass(scores: Floats, probabilities: Floats, mass: float) -> Ids:
    order = best_by_mass(scores, probabilities, mass)
    short = int(np.searchsorted(np.cumsum(probabilities[order]), mass))  # so many are not enough; the next one is
    return np.sort(order[: short + 1])


CHAINS: dict[Order, tuple[tuple[str, Sampler], ...]] = {
    "llama.cpp": (
        ("penalties", penalties),
        ("top-k", top_k),
        ("typical", typical),
        ("top-p", top_p),
        ("min-p", min_p),
        ("temperature", temperature),
    ),
    "transformers": (
        ("penalties", penalties),
        ("temperature", temperature),
        ("top-k", top_k),
        ("top-p", top_p),
        ("min-p", min_p),
        ("typical", typical),
    ),
}


# --- the draw -----------------------------------------------------------------------------------------------------


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
