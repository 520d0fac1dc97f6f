"""Tokens read before they are chosen: what was proposed, what the model expects after each, how many were accepted.

Knows no model and no cache: the decoder reads what is proposed here, and hands in what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Proposer(Protocol):
    """Proposes what comes next in one growing sequence, as in speculative decoding."""

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow; empty if nothing comes to mind."""
        ...

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""

    def record_acceptance(self, accepted: int, proposed: int) -> None:
        """So many of the tokens proposed last were chosen, up to the first that was not."""

    def record_time(self, seconds: float, n_tokens: int) -> None:
        """The model was busy so long, with a step of so many tokens; 0 if it was reading a prompt."""


class Lookahead:
    """What stands ahead of one sequence. A proposal is used up token by token, as long as it is right."""

    def __init__(self, proposers: Sequence[Proposer] = ()) -> None:
        """
        Args:
            proposers: asked in turn, until one of them proposes something.
        """
        self._proposers = proposers
        self._proposer: Proposer | None = None  # of the newest proposal
        self._read = 0  # its tokens, once they are read
        self._ahead: list[int] = []  # those that were read and not chosen yet
        self._logits: list[NDArray[np.float32]] = []  # after each of them
        self.proposed, self.accepted = 0, 0  # tokens, since the beginning
        self.newest_was_accepted = False  # whether the token that was asked for last had been read

    @property
    def is_empty(self) -> bool:
        """Whether there is nobody to propose anything."""
        return not self._proposers

    def take(self, token_id: int) -> NDArray[np.float32] | None:
        """The logits after a token that was chosen, if it is the one that stands ahead."""
        self.newest_was_accepted = self._ahead[:1] == [token_id]
        if not self.newest_was_accepted:
            return None
        self.accepted += 1
        self._ahead.pop(0)
        return self._logits.pop(0)

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow these; once they are read, `hold` them."""
        for proposer in self._proposers:
            if proposed := proposer.propose(ids, most):
                self._proposer = proposer
                return proposed
        return []

    def hold(self, proposed: list[int], logits: list[NDArray[np.float32]]) -> None:
        """These were read, and this is expected after each."""
        self.proposed += len(proposed)
        self._read = len(proposed)
        self._ahead, self._logits = proposed, logits

    def record_acceptance(self) -> None:
        """Another token was chosen than the one ahead, or none is left: the proposal is over."""
        if self._proposer is not None and self._read:
            self._proposer.record_acceptance(self._read - len(self._ahead), self._read)
        self._drop()

    def record_time(self, seconds: float, n_tokens: int) -> None:
        """Reading took so long: a token and what was proposed behind it, or, if 0, a part of a prompt."""
        for proposer in self._proposers:
            proposer.record_time(seconds, n_tokens)

    def forget(self, length: int) -> None:
        """The sequence was cut to this length, or goes on without being asked: nobody will know what was right."""
        for proposer in self._proposers:
            proposer.forget(length)
        self._drop()

    def _drop(self) -> None:
        self._read, self._ahead, self._logits = 0, [], []
