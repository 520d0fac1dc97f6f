"""Tokens read before they are chosen: what was guessed, what the model expects after each, how many were right.

Knows no model and no cache: the decoder reads what is guessed here, and hands in what came of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Proposer(Protocol):
    """Guesses what comes next in one growing sequence."""

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow; empty if nothing comes to mind."""
        ...

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""

    def record_acceptance(self, right: int, guessed: int) -> None:
        """So many of the tokens guessed last were right, up to the first that was not."""

    def model_took(self, seconds: float, n_tokens: int) -> None:
        """The model was busy so long, with a step of so many tokens; 0 if it was reading a prompt."""


class Lookahead:
    """What stands ahead of one sequence. A guess is used up token by token, as long as it is right."""

    def __init__(self, sources: Sequence[Proposer] = ()) -> None:
        """
        Args:
            sources: asked in turn, until one of them has a guess.
        """
        self._sources = sources
        self._source: Proposer | None = None  # of the newest guess
        self._guessed = 0  # its tokens, once they are read
        self._ahead: list[int] = []  # those that were read and not chosen yet
        self._logits: list[NDArray[np.float32]] = []  # after each of them
        self.total, self.right = 0, 0  # tokens, since the beginning
        self.newest_was_right = False  # whether the token that was asked for last had been read

    @property
    def none_ever(self) -> bool:
        """Whether there is nothing to guess with."""
        return not self._sources

    def take(self, token_id: int) -> NDArray[np.float32] | None:
        """The logits after a token that was chosen, if it is the one that stands ahead."""
        self.newest_was_right = self._ahead[:1] == [token_id]
        if not self.newest_was_right:
            return None
        self.right += 1
        self._ahead.pop(0)
        return self._logits.pop(0)

    def make(self, ids: Sequence[int], most: int) -> list[int]:
        """At most so many tokens that may follow these; once they are read, `hold` them."""
        for source in self._sources:
            if guess := source.guess(ids, most):
                self._source = source
                return guess
        return []

    def hold(self, guess: list[int], logits: list[NDArray[np.float32]]) -> None:
        """These were read, and this is expected after each."""
        self.total += len(guess)
        self._guessed = len(guess)
        self._ahead, self._logits = guess, logits

    def record_acceptance(self) -> None:
        """Another token was chosen than the one ahead, or none is left: the guess is over."""
        if self._source is not None and self._guessed:
            self._source.record_acceptance(self._guessed - len(self._ahead), self._guessed)
        self._drop()

    def model_took(self, seconds: float, n_tokens: int) -> None:
        """Reading took so long: a token and what was guessed behind it, or, if 0, a part of a prompt."""
        for source in self._sources:
            source.model_took(seconds, n_tokens)

    def forget(self, length: int) -> None:
        """The sequence was cut to this length, or goes on without being asked: nobody will know what was right."""
        for source in self._sources:
            source.forget(length)
        self._drop()

    def _drop(self) -> None:
        self._guessed, self._ahead, self._logits = 0, [], []
