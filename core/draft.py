"""Guessing what comes next with a smaller model of the same vocabulary.

The draft reads what the model reads and writes on greedily; what it wrote is read by the model in one step. It never
changes what is chosen: see `Decoder.decode_one`. Must not know how many guesses pay, which is `Pace`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from core.decoding import Decoder
from core.device import threads_for
from core.errors import LogitscopeError
from core.model import Model
from core.native.step import MOST
from core.pace import Pace

_SURE = 0.35  # the draft's own probability, below which a token is not worth a guess
_FEW = 2  # tokens whose reading takes the draft about as long as that of one


class Draft:
    """A smaller model that is always a step ahead."""

    def __init__(self, decoder: Decoder, *, n_tokens: int, pace: Pace) -> None:
        """
        Args:
            decoder: of the smaller model; nobody else uses it.
            n_tokens: only tokens below are guessed.
        """
        self._decoder = decoder
        self._n_tokens = n_tokens
        self._pace = pace
        self._same = 0  # tokens that it has read as they are in the sequence, as far as is known
        self._failed = False

    def guess(self, ids: Sequence[int]) -> list[int]:
        """What the smaller model would say, as far as it is sure and as many tokens as pay.

        Of a text that is new to it, it first reads a chunk at each call, so that a stop is heard in between. A text
        that it cannot read, or has no memory for, gets no guesses.
        """
        room = self._decoder.limit - len(ids) + 1
        if self._failed or room < 1:
            return []
        size = min(self._pace.size(), room)
        try:
            return self._draft(ids, size) if size and self._catch_up(ids) else []
        except LogitscopeError:
            self._failed = True
            return []

    def forget(self, length: int) -> None:
        """The sequence was cut to this length."""
        self._same, self._failed = min(self._same, length), False

    def judge(self, right: int, guessed: int) -> None:
        """So many of the tokens guessed last were right."""
        self._pace.judge(right, guessed)

    def step_took(self, n_tokens: int, seconds: float) -> None:
        """The model has read so many tokens in one step."""
        self._pace.step_took(n_tokens, seconds)

    def _catch_up(self, ids: Sequence[int]) -> bool:
        """Go back to where the texts part, and read a chunk of what is new; whether only a few tokens are left."""
        old = self._decoder.ids
        end = min(len(old), len(ids) - 1)  # the last token has to be read: what is expected after it is not kept
        while self._same < end and old[self._same] == ids[self._same]:
            self._same += 1
        self._same = min(self._same, end)
        if self._same < len(old):
            self._decoder.rewind(self._same)
        if len(ids) - self._same > MOST:
            next(self._decoder.prefill(ids[self._same : -1]))
            self._same = len(self._decoder.ids)
        return len(ids) - self._same <= MOST

    def _draft(self, ids: Sequence[int], size: int) -> list[int]:
        guess: list[int] = []
        new, sure = list(ids[self._same :]), 1.0
        while len(guess) < size and sure >= _SURE:
            began = time.perf_counter()
            token, sure = self._likeliest(self._read(new))
            if len(new) <= _FEW:
                self._pace.pass_took(time.perf_counter() - began)
            guess.append(token)
            new = [token]
        drafted = len(guess)
        if sure < _SURE:
            guess.pop()
        self._pace.count(drafted, len(guess))
        return guess

    def _read(self, new: list[int]) -> NDArray[np.float32]:
        for _ in self._decoder.prefill(new):
            pass
        return self._decoder.logits(len(self._decoder.ids) - 1)

    def _likeliest(self, logits: NDArray[np.float32]) -> tuple[int, float]:
        known = logits[: self._n_tokens]
        token = int(known.argmax())
        return token, 1 / float(np.exp(known - known[token]).sum())


def draft_for(model: Model, draft: Model) -> Draft:
    """A draft that guesses for a model.

    Args:
        draft: of the same vocabulary; see `vocabularies.check_same`.
    """
    decoder = Decoder(
        draft.transformer, device=draft.device, dtype=draft.dtype, n_threads=threads_for(draft.n_parameters)
    )
    n_tokens = min(one.transformer.config.vocab_size for one in (model, draft))
    return Draft(decoder, n_tokens=n_tokens, pace=Pace(MOST - 1))
