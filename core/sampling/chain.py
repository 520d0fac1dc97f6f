"""From logits to the tokens that may be chosen: a chain of pure samplers in a visible order.

A `Pool` is the tokens still in the running with their logits; every sampler takes one and returns one. Nothing here
knows a model, a tokenizer or torch: the logits of one position are a plain array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.sampling.top import Floats, Ids, best, best_by_mass, largest
from core.settings import Order, Settings


@dataclass(frozen=True)
class Pool:
    """The tokens still in the running: ids ascending, and the logit of each. Both (n,), n >= 1."""

    ids: Ids
    logits: Floats

    def keep(self, which: NDArray[np.bool_] | Ids) -> Pool:
        """Only these, by mask or by ascending index."""
        return Pool(self.ids[which], self.logits[which])


Sampler = Callable[[Pool, Settings, Sequence[int]], Pool]


def softmax(logits: Floats) -> Floats:
    """exp(z - max z), normalised to 1: (n,)."""
    weights: Floats = logits - logits.max()
    np.exp(weights, out=weights)
    weights /= float(weights.sum())
    return weights


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
    within = pool.keep(largest(pool.logits, settings.top_k))
    if len(within.ids) == settings.top_k:
        return within
    return within.keep(np.sort(best(within.logits, settings.top_k)))


def typical(pool: Pool, settings: Settings, history: Sequence[int]) -> Pool:
    """Keep tokens whose surprise is closest to the expected one (Meister et al. 2022, arXiv 2202.00666).

    It is the only cut that may take the likeliest away, which temperature 0 promises: then it does not act.
    """
    if settings.typical_p >= 1 or settings.temperature == 0:
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
