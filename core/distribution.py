"""What is recorded of one step: the whole distribution before and after the chain, who was cut where, what was drawn.

The logits of a position are a value and everything here is a pure function of them, so any position can be looked
at again under other settings. Knows no model and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core import sampling
from core.sampling import Floats, Ids, Pool
from core.settings import Settings
from core.step import Candidate, Prediction, Stage
from core.tokenizer import Tokenizer

_LN2 = float(np.log(2.0))


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The next-token distribution of one position under one set of settings, over the whole vocabulary."""

    logits: Floats  # (vocab,), the model's own
    raw: Floats  # (vocab,), their softmax at temperature 1
    pool: Pool  # what the chain left
    probabilities: Floats  # (n,), of the pool
    cut_by: NDArray[np.int8]  # (vocab,), which stage cut each token, counted from 1; 0: none
    stages: tuple[Stage, ...]
    settings: Settings

    @classmethod
    def of(cls, logits: NDArray[np.float32], settings: Settings, history: Sequence[int]) -> Distribution:
        """Run the chain.

        Args:
            logits: (vocab,), finite but for -inf.
            history: the tokens before this position, for the penalties.
        """
        wide = logits.astype(np.float64)
        pool = Pool(np.arange(len(wide)), wide)
        cut_by = np.zeros(len(wide), dtype=np.int8)
        stages = []
        for number, (name, step) in enumerate(sampling.CHAINS[settings.order], start=1):
            after = step(pool, settings, history)
            if len(after.ids) < len(pool.ids):
                cut_by[pool.ids] = number
                cut_by[after.ids] = 0
            pool = after
            stages.append(Stage(name=name, alive=len(pool.ids)))
        return cls(
            logits=wide,
            raw=sampling.softmax(wide),
            pool=pool,
            probabilities=sampling.softmax(pool.logits),
            cut_by=cut_by,
            stages=tuple(stages),
            settings=settings,
        )

    def draw(self, uniform: float) -> int:
        """The token chosen by this number in [0, 1)."""
        return sampling.draw(self.pool, self.probabilities, uniform)

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
        at = int(np.searchsorted(self.pool.ids, token_id))
        there = at < len(self.pool.ids) and self.pool.ids[at] == token_id
        return float(self.probabilities[at]) if there else 0.0

    def prediction(self, tokenizer: Tokenizer, top: int, *, also: int | None = None) -> Prediction:
        """The record to look at: the `top` likeliest before and after the chain one by one, the rest summed.

        Args:
            also: a token to include wherever it stands: the one that was chosen.
        """
        favourites = sampling.best(self.logits, top).tolist()
        ranks = {token_id: rank for rank, token_id in enumerate(favourites, start=1)}
        others = self.pool.ids[sampling.best(self.pool.logits, top)].tolist()
        for token_id in others if also is None else [*others, also]:
            if token_id not in ranks:
                ranks[token_id] = self.rank(token_id)
        candidates = sorted(
            (self._candidate(token_id, rank, tokenizer) for token_id, rank in ranks.items()),
            key=lambda c: (-c.probability, c.rank),
        )
        return Prediction(
            candidates=tuple(candidates),
            rest_count=len(self.logits) - len(candidates),
            rest_raw_probability=_rest(self.raw, [c.id for c in candidates]),
            rest_probability=_rest(
                self.probabilities, np.searchsorted(self.pool.ids, [c.id for c in candidates if c.kept])
            ),
            entropy_bits=entropy_bits(self.raw),
            chain_entropy_bits=entropy_bits(self.probabilities),
            stages=self.stages,
            settings=self.settings,
        )

    def _candidate(self, token_id: int, rank: int, tokenizer: Tokenizer) -> Candidate:
        cut = int(self.cut_by[token_id])
        return Candidate(
            rank=rank,
            id=token_id,
            text=tokenizer.token_text(token_id),
            bytes=tokenizer.token_bytes(token_id),
            logit=float(self.logits[token_id]),
            raw_probability=float(self.raw[token_id]),
            probability=self.chain_probability(token_id),
            cut_by=self.stages[cut - 1].name if cut else None,
        )


def entropy_bits(probabilities: Floats) -> float:
    """-sum p log2 p, with 0 log 0 = 0."""
    positive = probabilities[probabilities > 0]
    return max(0.0, -float(np.dot(positive, np.log(positive))) / _LN2)


def _rest(probabilities: Floats, listed: Sequence[int] | Ids) -> float:
    """The mass of all but these indices, summed directly: 1 minus the listed would lose a small rest to rounding."""
    others = probabilities.copy()
    others[listed] = 0.0
    return float(others.sum())
