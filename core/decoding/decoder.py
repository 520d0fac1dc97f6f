"""Prefill of a prompt and decoding of one token after another: one sequence, kept between turns.

Knows no text and no sampling: ids in, logits out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.backends.base import Backend
from core.decoding.lookahead import Lookahead, Proposer
from core.decoding.model_runner import ModelRunner
from core.errors import BadCheckpoint, ContextFull


class Decoder:
    """The tokens read so far. Kept between turns, so that only what is new is ever computed."""

    def __init__(self, runner: ModelRunner, proposers: Sequence[Proposer] = ()) -> None:
        """
        Args:
            runner: of the sequence; nobody else reads tokens with it.
            proposers: propose tokens that are read along with the one that is decoded. It is only faster.
        """
        self.ids: list[int] = []
        self._runner = runner
        self.vocab_size = runner.backend.transformer.config.vocab_size
        self.lookahead = Lookahead(proposers)

    @property
    def backend(self) -> Backend:
        """What computes the forward pass."""
        return self._runner.backend

    @property
    def limit(self) -> int:
        """The most positions there can be."""
        return self._runner.limit

    def rewind(self, length: int) -> None:
        """Forget every token from position `length` on."""
        self.lookahead.forget(length)
        self._runner.rewind(length)
        del self.ids[length:]

    def keep_common(self, ids: Sequence[int]) -> int:
        """Keep the longest part that these ids begin with, and forget the rest. Returns its length."""
        same = next((n for n, (old, new) in enumerate(zip(self.ids, ids, strict=False)) if old != new), None)
        length = min(len(self.ids), len(ids)) if same is None else same
        self.rewind(length)
        return length

    def prefill(self, ids: Sequence[int]) -> Iterator[int]:
        """Read the tokens after those already there, in chunks; yields how many positions are filled after each.

        Stop asking and it stops: what was read stays, and is not read again. Unless the text has become so long, or
        so short again, that the model has another rope for all of its positions: then everything is read anew.

        Raises:
            ContextFull: not all of them fit; then none is read.
            BadCheckpoint: the tokenizer knows a token that the model does not; then none is read.
        """
        self._require(len(ids))
        self._require_known(ids)
        self.rewind(len(self.ids))  # what was read ahead is not read
        began = time.perf_counter()
        for _ in self._prefill(list(ids)):
            self.lookahead.record_time(time.perf_counter() - began, 0)
            yield len(self.ids)
            began = time.perf_counter()

    def decode_one(self, token_id: int) -> NDArray[np.float32]:
        """Read one token; the logits (vocab,) of the one after it.

        If it was proposed, it has been read already. A proposal is nothing but that: a step of several tokens gives the
        same numbers for a token whether it is read alone or together with others, so what is chosen after it is the
        same.

        Raises:
            ContextFull: there is no room for it.
            BadCheckpoint: the model does not know it, or its numbers are broken.
        """
        self._require(1)
        self._require_known([token_id])
        ready = self.lookahead.take(token_id)
        if ready is not None:
            self.ids.append(token_id)
            return self._checked(ready, len(self.ids) - 1)
        self.lookahead.record_acceptance()
        self._runner.rewind(len(self.ids))
        proposed = self._propose(token_id)
        began = time.perf_counter()
        logits = self._decode_with(token_id, proposed) if proposed else self._decode_alone(token_id)
        self.lookahead.record_time(time.perf_counter() - began, 1 + len(proposed))
        return logits

    def logits(self, position: int) -> NDArray[np.float32]:
        """What the model expects after the token at `position`: (vocab,). One matrix product, no forward pass.

        Raises:
            ValueError: nothing was read at that position.
            BadCheckpoint: the model's numbers are broken.
        """
        if not 0 <= position < len(self.ids):
            raise ValueError(f"position {position} has not been read: there are {len(self.ids)}")
        return self._checked(self._runner.logits(position), position)

    def _checked(self, logits: NDArray[np.float32], position: int) -> NDArray[np.float32]:
        if not np.isfinite(logits.max()):  # the largest is nan where any is
            raise BadCheckpoint(
                f"The model computed no valid number after position {position}.",
                "Its weights are damaged or do not fit this number format; try --dtype float32.",
            )
        return logits

    def _propose(self, token_id: int) -> list[int]:
        """Tokens that may follow this one, as many as there is room for."""
        if self.lookahead.is_empty:
            return []
        # What has to be read anew is read without a proposal.
        most = self._runner.tokens_until_reprefill(len(self.ids) + 1, self.backend.max_step_tokens - 1)
        self.ids.append(token_id)
        proposed = self.lookahead.propose(self.ids, most) if most > 0 else []
        self.ids.pop()
        return proposed

    def _decode_alone(self, token_id: int) -> NDArray[np.float32]:
        start = len(self.ids)
        if self._runner.needs_reprefill(start + 1):
            for _ in self._prefill([token_id]):
                pass
            return self.logits(start)
        logits = self._runner.decode([token_id])
        self.ids.append(token_id)
        return self._checked(logits[0], start)

    def _decode_with(self, token_id: int, proposed: list[int]) -> NDArray[np.float32]:
        """Read a token and those that may follow it in one step; the logits after the token."""
        start = len(self.ids)
        first, *rest = self._runner.decode([token_id, *proposed])
        self.ids.append(token_id)
        self.lookahead.hold(proposed, rest)
        return self._checked(first, start)

    def _require(self, more: int) -> None:
        end = len(self.ids) + more
        if end > self.limit:
            raise ContextFull(
                f"{end} tokens do not fit in this model's context of {self.limit}.", "Shorten the text or start anew."
            )

    def _require_known(self, ids: Sequence[int]) -> None:
        if ids and (max(ids) >= self.vocab_size or min(ids) < 0):
            unknown = max(ids) if max(ids) >= self.vocab_size else min(ids)
            raise BadCheckpoint(
                f"The text contains token {unknown}, but this model knows {self.vocab_size} tokens.",
                "Its tokenizer.json names a token that its weights have no row for; leave that text out.",
            )

    def _prefill(self, ids: list[int]) -> Iterator[None]:
        """Read in chunks, and before that what is already there, if it has to be read anew.

        What the model expected after a token when the text was still short stays as it was recorded.
        """
        length, known = len(self.ids) + len(ids), 0
        if self._runner.needs_reprefill(length):
            known = len(self.ids) if self._runner.uses_long_rope(length) else 0
            ids = self.ids + ids
            self.rewind(0)
        for chunk in self._runner.chunks(ids):
            self._runner.prefill(chunk, length=length, known=known)
            self.ids += chunk
            yield
