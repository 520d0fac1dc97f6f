"""Proposing what comes next with a smaller model of the same vocabulary, or with the model itself in fewer bits.

The draft model writes on greedily, and what it wrote is read by the model in one step. It never changes what is chosen:
see `Decoder.decode_one`. Must not know how many proposals pay (`DraftLength`), and where its keys and values are.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.backends.choose import choose_backend
from core.backends.device import is_out_of_memory, threads_for
from core.decoding.decoder import Decoder
from core.decoding.model_runner import ModelRunner
from core.errors import LogitscopeError
from core.model import Model
from core.speculative.draft_cache import DraftCache, OwnCache, SharedCache
from core.speculative.draft_length import DraftLength

_SURE = 0.35  # the draft's own probability, below which a token is not worth a guess


class DraftProposer:
    """Proposes tokens as long as the draft model is sure of them and they pay."""

    def __init__(self, cache: DraftCache, *, n_tokens: int, length: DraftLength) -> None:
        """
        Args:
            n_tokens: only tokens below are proposed.
        """
        self._cache, self._n_tokens, self._length = cache, n_tokens, length
        self._failed = False  # on the text as it is

    def propose(self, ids: Sequence[int], most: int) -> list[int]:
        """What the smaller model would say, at most so many tokens.

        Of a text that is new to it, it first reads a part at each call, so that a stop is heard in between. A text
        that it cannot read, as its context is shorter or there is no memory, gets no proposals.
        """
        if self._failed:
            return []
        try:
            size = min(self._length.size(), most)
            return self._write(ids, size) if size and self._has_caught_up(ids) else []
        except (LogitscopeError, MemoryError, RuntimeError) as error:
            if not isinstance(error, LogitscopeError) and not is_out_of_memory(error):
                raise
            self._failed = True
            return []
        finally:
            self._cache.finish()

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""
        self._cache.forget(length)
        self._failed = False

    def record_acceptance(self, accepted: int, proposed: int) -> None:
        """So many of the tokens proposed last were chosen."""
        self._length.record_acceptance(accepted, proposed)

    def record_time(self, seconds: float, n_tokens: int) -> None:
        """The model was busy so long, with a step of so many tokens; 0 if it was reading a prompt."""
        self._length.record_time(seconds, n_tokens)

    def _has_caught_up(self, ids: Sequence[int]) -> bool:
        """Whether nothing is left to be read first; if something is that is worth it, a part of it is read."""
        behind = self._cache.behind(ids)
        if behind and self._length.may_read(behind):
            began = time.perf_counter()
            n_read = self._cache.catch_up(ids)
            self._length.record_catch_up(time.perf_counter() - began, n_read)
            return n_read == behind
        return not behind

    def _write(self, ids: Sequence[int], size: int) -> list[int]:
        began = time.perf_counter()
        proposed: list[int] = []
        token, sure = self._likeliest(self._cache.start(ids))
        while sure >= _SURE:
            proposed.append(token)
            if len(proposed) == size:
                break
            token, sure = self._likeliest(self._cache.extend(token))
        drafted = len(proposed) + (sure < _SURE)
        self._length.record_draft_time((time.perf_counter() - began) / drafted)
        self._length.record_confidence(drafted, len(proposed))
        return proposed

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

    model: Model  # of the same vocabulary, see `vocab_check.check_same`
    itself: bool = False  # the same model, only held in fewer bits

    def proposer(self, model: Model, runner: ModelRunner) -> DraftProposer:
        """Proposes for the sequence that this runner of the model reads."""
        draft = self.model
        n_threads = threads_for(draft.n_parameters)
        backend = choose_backend(draft.transformer, device=draft.device, dtype=draft.dtype, n_threads=n_threads)
        cache = SharedCache(runner.cache, backend) if self.itself else OwnCache(Decoder(ModelRunner(backend)))
        n_tokens = min(model.transformer.config.vocab_size, draft.transformer.config.vocab_size)
        return DraftProposer(cache, n_tokens=n_tokens, length=DraftLength(runner.backend.max_step_tokens - 1))
