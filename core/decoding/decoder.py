"""Reading a prompt and decoding one token after another: one sequence, kept between turns.

Knows no text and no sampling: ids in, logits out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from core.backends.cuda_graph.compiler import Compiler
from core.decoding.lookahead import Lookahead, Proposer
from core.decoding.model_runner import ModelRunner
from core.errors import BadCheckpoint, ContextFull
from core.native.bindings import MAX_STEP_TOKENS
from core.speculative.ngram import PromptLookup
from core.transformer import Transformer


class Decoder:
    """The tokens read so far. Kept between turns, so that only what is new is ever computed."""

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        native: bool = True,
        n_threads: int | None = None,
        speculate: bool = False,
        draft: Callable[[ModelRunner], Proposer] | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        """
        Args:
            native: read a few tokens at a time with the C library, or one as a CUDA graph, where that is possible.
            n_threads: of the library; None for as many as torch has.
            speculate: guess tokens and read them along with the one that is decoded, in C. It is only faster.
            draft: what guesses where what has been said gives nothing to guess from, for the reader of this sequence.
            compiler: fuses what is recorded as a CUDA graph, in the background.
        """
        self.ids: list[int] = []
        self._reader = ModelRunner(
            transformer, device=device, dtype=dtype, native=native, n_threads=n_threads, compiler=compiler
        )
        self.vocab_size = transformer.config.vocab_size
        sources: list[Proposer] = []
        if self._reader.reads_ahead:  # elsewhere they would gain nothing
            sources += [PromptLookup(MAX_STEP_TOKENS - 1)] if speculate else []
            sources += [] if draft is None else [draft(self._reader)]
        self.guesses = Lookahead(sources)

    @property
    def fallback_reason(self) -> str | None:
        """Why a token is decoded in plain torch; None if it is not."""
        return self._reader.fallback_reason

    @property
    def how(self) -> str:
        """What decodes a token: "C", "CUDA graph", "compiled CUDA graph" or "torch"."""
        return self._reader.how

    @property
    def limit(self) -> int:
        """The most positions there can be."""
        return self._reader.limit

    def rewind(self, length: int) -> None:
        """Forget every token from position `length` on."""
        self.guesses.forget(length)
        self._reader.rewind(length)
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
        so short again, that the model turns all of its positions otherwise: then everything is read anew.

        Raises:
            ContextFull: not all of them fit; then none is read.
            BadCheckpoint: the tokenizer knows a token that the model does not; then none is read.
        """
        self._require(len(ids))
        self._require_known(ids)
        self.rewind(len(self.ids))  # what was guessed is not read
        began = time.perf_counter()
        for _ in self._read(list(ids)):
            self.guesses.model_took(time.perf_counter() - began, 0)
            yield len(self.ids)
            began = time.perf_counter()

    def decode_one(self, token_id: int) -> NDArray[np.float32]:
        """Read one token; the logits (vocab,) of the one after it.

        If it was guessed, it has been read already. A guess is nothing but that: the step in C gives the same numbers
        for a token whether it is read alone or together with others, so what is chosen after it is the same.

        Raises:
            ContextFull: there is no room for it.
            BadCheckpoint: the model does not know it, or its numbers are broken.
        """
        self._require(1)
        self._require_known([token_id])
        ready = self.guesses.take(token_id)
        if ready is not None:
            self.ids.append(token_id)
            return self._checked(ready, len(self.ids) - 1)
        self.guesses.record_acceptance()
        self._reader.rewind(len(self.ids))
        guess = self._guess(token_id)
        began = time.perf_counter()
        logits = self._read_with(token_id, guess) if guess else self._read_alone(token_id)
        self.guesses.model_took(time.perf_counter() - began, 1 + len(guess))
        return logits

    def logits(self, position: int) -> NDArray[np.float32]:
        """What the model expects after the token at `position`: (vocab,). One matrix product, no forward pass.

        Raises:
            ValueError: nothing was read at that position.
            BadCheckpoint: the model's numbers are broken.
        """
        if not 0 <= position < len(self.ids):
            raise ValueError(f"position {position} has not been read: there are {len(self.ids)}")
        return self._checked(self._reader.logits(position)[0], position)

    def _checked(self, logits: NDArray[np.float32], position: int) -> NDArray[np.float32]:
        if not np.isfinite(logits.max()):  # the largest is nan where any is
            raise BadCheckpoint(
                f"The model computed no valid number after position {position}.",
                "Its weights are damaged or do not fit this number format; try --dtype float32.",
            )
        return logits

    def _guess(self, token_id: int) -> list[int]:
        """Tokens that may follow this one, as many as there is room for."""
        if self.guesses.none_ever:
            return []
        # What has to be read anew is read without a guess.
        most = self._reader.tokens_until_reprefill(len(self.ids) + 1, MAX_STEP_TOKENS - 1)
        self.ids.append(token_id)
        guess = self.guesses.make(self.ids, most) if most > 0 else []
        self.ids.pop()
        return guess

    def _read_alone(self, token_id: int) -> NDArray[np.float32]:
        start = len(self.ids)
        if self._reader.needs_reprefill(start + 1):
            for _ in self._read([token_id]):
                pass
            return self.logits(start)
        logits = self._reader.decode([token_id])
        self.ids.append(token_id)
        return self._checked(logits[0], start)

    def _read_with(self, token_id: int, guess: list[int]) -> NDArray[np.float32]:
        """Read a token and those that may follow it in one step; the logits after the token."""
        start = len(self.ids)
        first, *rest = self._reader.decode([token_id, *guess])
        self.ids.append(token_id)
        self.guesses.hold(guess, rest)
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

    def _read(self, ids: list[int]) -> Iterator[None]:
        """Read in chunks, and before that what is already there, if it has to be read anew.

        What the model expected after a token when the text was still short stays as it was recorded.
        """
        length, known = len(self.ids) + len(ids), 0
        if self._reader.needs_reprefill(length):
            known = len(self.ids) if self._reader.transformer.uses_long_rope(length) else 0
            ids = self.ids + ids
            self.rewind(0)
        for chunk in self._reader.chunks(ids):
            self._reader.read(chunk, length=length, known=known)
            self.ids += chunk
            yield
