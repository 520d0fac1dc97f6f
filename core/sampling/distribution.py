"""What is recorded of one step: the whole distribution before and after the chain, who was cut where, what was drawn.

The logits of a position are a value and everything here is a pure function of them, so any position can be looked
at again under other settings. Choosing a token needs the chain alone; whatever else there is to know is computed
when it is asked for. Knows no model and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from core.records import Candidate, Prediction, Stage
from core.sampling import dice
from core.sampling.chain import CHAINS, Pool, softmax
from core.sampling.top import Floats, Ids, best
from core.settings import Settings
from core.text.tokenizer import Tokenizer

_LN2 = float(np.log(2.0))
_CHUNK = 16384  # numbers that stay in the processor's cache while they are gone over several times
_VANISHED = -1000.0  # exp of it, and of anything below -746, is 0; 0 times it is 0, which minus infinity would spoil


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The next-token distribution of one position under one set of settings, over the whole vocabulary."""

    logits: Floats  # (vocab,), the model's own
    pools: tuple[Pool, ...]  # what was left before the chain, and after each of its stages
    probabilities: Floats  # (n,), of the last pool
    settings: Settings

    @classmethod
    def of(cls, logits: NDArray[np.float32], settings: Settings, history: Sequence[int]) -> Distribution:
        """Run the chain.

        Args:
            logits: (vocab,), finite but for -inf.
            history: the tokens before this position, for the penalties.
        """
        wide = logits.astype(np.float64)
        pools = [Pool(_all_ids(len(wide)), wide)]
        for _, sampler in CHAINS[settings.order]:
            pools.append(sampler(pools[-1], settings, history))
        return cls(logits=wide, pools=tuple(pools), probabilities=softmax(pools[-1].logits), settings=settings)

    @property
    def pool(self) -> Pool:
        """What the chain left."""
        return self.pools[-1]

    @property
    def stages(self) -> tuple[Stage, ...]:
        names = (name for name, _ in CHAINS[self.settings.order])
        return tuple(Stage(name=name, alive=len(pool.ids)) for name, pool in zip(names, self.pools[1:], strict=True))

    @cached_property
    def raw(self) -> Floats:
        """Softmax of the model's logits at temperature 1: (vocab,)."""
        return softmax(self.logits)

    def draw(self, uniform: float) -> int:
        """The token chosen by this number in [0, 1)."""
        return dice.draw(self.pool, self.probabilities, uniform)

    def rank(self, token_id: int) -> int:
        """1 for the model's favourite; equals in the order of their ids."""
        mine = self.logits[token_id]
        return 1 + int(np.count_nonzero(self.logits > mine)) + int(np.count_nonzero(self.logits[:token_id] == mine))

    def logprob(self, token_id: int) -> float:
        """Natural logarithm of the model's own probability; also finite where that underflows."""
        top = self.logits.max()
        return float(self.logits[token_id] - top - np.log(np.exp(self.logits - top).sum()))

    def chain_probability(self, token_id: int) -> float:
        """The chance of being chosen; 0 for a token that was cut."""
        return self._chances(np.array([token_id]))[0]

    def prediction(self, tokenizer: Tokenizer, top: int, *, also: int | None = None) -> Prediction:
        """The record to look at: the `top` likeliest before and after the chain one by one, the rest summed.

        Args:
            also: a token to include wherever it stands: the one that was chosen.
        """
        ranks = self._listed(top, also)
        ids = np.fromiter(ranks, dtype=np.int64, count=len(ranks))
        logits = self.logits[ids]
        masses = _Masses.of(self.logits, ids)
        columns = (
            ranks.values(),
            ranks,
            map(tokenizer.token_text, ranks),
            map(tokenizer.token_bytes, ranks),
            logits.tolist(),
            (masses.listed / masses.total).tolist(),
            self._chances(ids),
            self._cut_by(ids),
        )
        candidates = sorted(map(Candidate._make, zip(*columns, strict=True)), key=_likeliest_first)
        return Prediction(
            candidates=tuple(candidates),
            rest_count=len(self.logits) - len(ranks),
            rest_raw_probability=masses.rest / masses.total,
            rest_probability=self._rest_probability(ids),
            entropy_bits=masses.entropy_bits,
            chain_entropy_bits=entropy_bits(self.probabilities),
            stages=self.stages,
            settings=self.settings,
        )

    def _listed(self, top: int, also: int | None) -> dict[int, int]:
        """The tokens to list, each with its rank."""
        favourites = best(self.logits, top).tolist()
        ranks = {token_id: rank for rank, token_id in enumerate(favourites, start=1)}
        others = self.pool.ids[best(self.pool.logits, top)].tolist()
        for token_id in others if also is None else [*others, also]:
            if token_id not in ranks:
                ranks[token_id] = self.rank(token_id)
        return ranks

    def _chances(self, ids: Ids) -> list[float]:
        """How likely each of these is to be chosen; 0 for a token that was cut."""
        at, there = _find(ids, self.pool)
        chances: list[float] = np.where(there, self.probabilities[at], 0.0).tolist()
        return chances

    def _cut_by(self, ids: Ids) -> list[str | None]:
        """Which stage cut each of these; None: none."""
        names: list[str | None] = [None] * len(ids)
        alive, left = np.ones(len(ids), dtype=np.bool_), len(self.logits)
        for (name, _), pool in zip(CHAINS[self.settings.order], self.pools[1:], strict=True):
            if len(pool.ids) == left:
                continue
            there, left = _find(ids, pool)[1], len(pool.ids)
            for n in np.flatnonzero(alive & ~there).tolist():
                names[n] = name
            alive = there
        return names

    def _rest_probability(self, listed: Ids) -> float:
        """The mass after the chain of all but these, summed directly: see `_Masses`."""
        at, there = _find(listed, self.pool)
        others = self.probabilities.copy()
        others[at[there]] = 0.0
        return float(others.sum())


@dataclass(frozen=True)
class _Masses:
    """Sums of exp(z - max z) over a vocabulary: of some tokens one by one, and of the rest.

    The rest is summed directly: all minus the listed would lose a small rest to rounding.
    """

    listed: Floats  # (n,), of these tokens
    rest: float  # of all others
    spread: float  # the sum of exp(z - max z) * (max z - z) over everything

    @classmethod
    def of(cls, logits: Floats, listed: Ids) -> _Masses:
        """In one pass, in pieces that stay in the cache."""
        top = logits.max()
        rest = spread = 0.0
        order = np.sort(listed)
        starts = range(0, len(logits), _CHUNK)
        borders = np.searchsorted(order, [*starts, len(logits)]).tolist()
        for start, (first, last) in zip(starts, pairwise(borders), strict=True):
            below = logits[start : start + _CHUNK] - top
            if first < last:
                below[order[first:last] - start] = _VANISHED
            weights = np.exp(below)
            rest += float(weights.sum())
            spread -= _sum_of_products(weights, below)
        if np.isnan(spread):  # minus infinity times 0
            return cls.of(np.maximum(logits, top + _VANISHED), listed)
        mine = np.maximum(logits[listed] - top, _VANISHED)
        weights = np.exp(mine)
        return cls(listed=weights, rest=rest, spread=spread - _sum_of_products(weights, mine))

    @cached_property
    def total(self) -> float:
        return self.rest + float(self.listed.sum())

    @property
    def entropy_bits(self) -> float:
        """-sum p log2 p = log2 of the total + spread / total: two numbers that are never negative, so none is lost."""
        return float(np.log2(self.total)) + self.spread / self.total / _LN2


def entropy_bits(probabilities: Floats) -> float:
    """-sum p log2 p, with 0 log 0 = 0."""
    positive = probabilities if probabilities.all() else probabilities[probabilities > 0]
    return max(0.0, -_sum_of_products(positive, np.log(positive)) / _LN2)


def _sum_of_products(left: Floats, right: Floats) -> float:
    """The dot product, without `np.dot`: over a large vocabulary that wakes threads, which fight with the model's."""
    return float(np.einsum("i,i->", left, right))


def _find(ids: Ids, pool: Pool) -> tuple[Ids, NDArray[np.bool_]]:
    """Where these tokens stand in a pool, and whether they are there at all: (n,), (n,)."""
    at = np.minimum(np.searchsorted(pool.ids, ids), len(pool.ids) - 1)
    return at, pool.ids[at] == ids


def _likeliest_first(candidate: Candidate) -> tuple[float, int]:
    return -candidate.probability, candidate.rank


@lru_cache(maxsize=4)
def _all_ids(size: int) -> Ids:
    """Every id of a vocabulary, the same array each time."""
    ids = np.arange(size)
    ids.flags.writeable = False
    return ids
