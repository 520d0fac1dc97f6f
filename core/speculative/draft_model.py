"""Guessing what comes next with a smaller model of the same vocabulary, or with the model itself in fewer bits.

The draft writes on greedily, and what it wrote is read by the model in one step. It never changes what is chosen: see
`Decoder.decode_one`. Must not know how many guesses pay, which is `DraftLength`, and where its keys and values are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from core.decoding.decoder import Decoder
from core.decoding.model_runner import ModelRunner
from core.device import is_out_of_memory, threads_for
from core.errors import LogitscopeError
from core.model import Model
from core.native.bindings import MAX_STEP_TOKENS
from core.speculative.draft_cache import OwnCache, SharedCache
from core.speculative.draft_length import DraftLength

_SURE = 0.35  # the draft's own probability, below which a token is not worth a guess


class DraftReader(Protocol):
    """The smaller model, behind the sequence or at its end."""

    def behind(self, ids: Sequence[int]) -> int:
        """How many of these tokens are still to be read before it is near enough to guess."""
        ...

    def catch_up(self, ids: Sequence[int]) -> int:
        """Read a part of those, so long as a stop may wait; how many."""
        ...

    def begin(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The logits (vocab,) after these tokens."""
        ...

    def go_on(self, token_id: int) -> NDArray[np.float32]:
        """The logits (vocab,) after one more, which is only a guess."""
        ...

    def end(self) -> None:
        """The guess is made."""

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""


class DraftProposer:
    """Guesses tokens as long as it is sure of them and they pay."""

    def __init__(self, reader: DraftReader, *, n_tokens: int, pace: DraftLength) -> None:
        """
        Args:
            n_tokens: only tokens below are guessed.
        """
        self._reader, self._n_tokens, self._pace = reader, n_tokens, pace
        self._failed = False  # on the text as it is

    def guess(self, ids: Sequence[int], most: int) -> list[int]:
        """What the smaller model would say, at most so many tokens.

        Of a text that is new to it, it first reads a part at each call, so that a stop is heard in between. A text
        that it cannot read, as its context is shorter or there is no memory, gets no guesses.
        """
        if self._failed:
            return []
        try:
            size = min(self._pace.size(), most)
            return self._write(ids, size) if size and self._is_near(ids) else []
        except (LogitscopeError, MemoryError, RuntimeError) as error:
            if not isinstance(error, LogitscopeError) and not is_out_of_memory(error):
                raise
            self._failed = True
            return []
        finally:
            self._reader.end()

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""
        self._reader.forget(length)
        self._failed = False

    def record_acceptance(self, right: int, guessed: int) -> None:
        """So many of the tokens guessed last were right."""
        self._pace.record_acceptance(right, guessed)

    def model_took(self, seconds: float, n_tokens: int) -> None:
        """The model was busy so long, with a step of so many tokens; 0 if it was reading a prompt."""
        self._pace.model_took(seconds, n_tokens)

    def _is_near(self, ids: Sequence[int]) -> bool:
        """Whether nothing is left to be read first; if something is that is worth it, a part of it is read."""
        behind = self._reader.behind(ids)
        if behind and self._pace.may_read(behind):
            began = time.perf_counter()
            n_read = self._reader.catch_up(ids)
            self._pace.draft_read(time.perf_counter() - began, n_read)
            return n_read == behind
        return not behind

    def _write(self, ids: Sequence[int], size: int) -> list[int]:
        began = time.perf_counter()
        guess: list[int] = []
        token, sure = self._likeliest(self._reader.begin(ids))
        while sure >= _SURE:
            guess.append(token)
            if len(guess) == size:
                break
            token, sure = self._likeliest(self._reader.go_on(token))
        drafted = len(guess) + (sure < _SURE)
        self._pace.draft_wrote((time.perf_counter() - began) / drafted)
        self._pace.count(drafted, len(guess))
        return guess

    def _likeliest(self, logits: NDArray[np.float32]) -> tuple[int, float]:
        """The token, and its probability at temperature 1; 0 where there is no number."""
        known = logits[: self._n_tokens]
        token = int(known.argmax())
        with np.errstate(invalid="ignore"):
            total = float(np.exp(known - known[token]).sum())
        return token, 1 / total if total >= 1 else 0.0


@dataclass(frozen=True, kw_only=True)
class DraftModel:
    """What drafts for a model."""

    model: Model  # of the same vocabulary, see `vocabularies.check_same`
    itself: bool = False  # the same model, only held in fewer bits

    def draft_for(self, model: Model) -> Callable[[ModelRunner], DraftProposer]:
        """A draft for the sequence that a reader of this model reads."""
        its = self.model
        n_threads = threads_for(its.n_parameters)

        def draft(reader: ModelRunner) -> DraftProposer:
            own: DraftReader
            if self.itself:
                own = SharedCache(reader, its.transformer, dtype=its.dtype, n_threads=n_threads)
            else:
                own = OwnCache(Decoder(its.transformer, device=its.device, dtype=its.dtype, n_threads=n_threads))
            n_tokens = min(one.transformer.config.vocab_size for one in (model, its))
            return DraftProposer(own, n_tokens=n_tokens, pace=DraftLength(MAX_STEP_TOKENS - 1))

        return draft
