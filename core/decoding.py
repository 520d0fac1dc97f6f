"""Reading a prompt and writing one token after another: one sequence, its cache, the hidden state of every position.

Knows no text and no sampling: ids in, logits out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from core.cache import KVCache
from core.device import is_out_of_memory
from core.errors import BadCheckpoint, ContextFull, OutOfMemory
from core.fast_step import FastStep, fast_step
from core.graph.compiling import Compiler
from core.native.step import MOST, NativeStep
from core.quantized import packed_in
from core.speculation import PromptLookup
from core.transformer import Transformer

# Tokens of a prompt that are read in one pass, between two looks at the stop flag. The more, the less each one costs,
# as the weights are fetched once (and unpacked, if they are quantised); but a big model is to hear a stop soon, too.
CHUNK, _SHORTEST = 512, 128
_FEW = 64  # if torch has to unpack all weights first
_WORK = 140e9  # multiplications in one pass, about


class Decoder:
    """The tokens read so far. Kept between turns, so that only what is new is ever computed."""

    def __init__(
        self,
        transformer: Transformer,
        *,
        device: torch.device,
        dtype: torch.dtype,
        native: bool = True,
        speculate: bool = False,
        compiler: Compiler | None = None,
    ) -> None:
        """
        Args:
            native: read a few tokens at a time with the C library, or one as a CUDA graph, where that is possible.
            speculate: guess tokens and read them along with the one that is decoded, in C. It is only faster.
            compiler: fuses what is recorded as a CUDA graph, in the background.
        """
        self.ids: list[int] = []
        self._transformer = transformer
        self._device = device
        self._chunk = _chunk_of(transformer)
        self._cache = KVCache(transformer.config, device=device, dtype=dtype)
        self._native: FastStep | None = None
        self._why_none: str | None = "it was not wanted"
        if native:
            found = fast_step(transformer, self._cache, device=device, dtype=dtype, compiler=compiler)
            self._native, self._why_none = found
        self._few = 1  # tokens that are read by the step sooner than in torch
        if isinstance(self._native, NativeStep):
            self._few = _FEW if packed_in(transformer) else MOST
        self._hidden = torch.empty(0, transformer.config.d_model, device=device, dtype=dtype)  # (capacity, d_model)
        self._lookup = PromptLookup(MOST - 1) if speculate and isinstance(self._native, NativeStep) else None
        self._ahead: list[int] = []  # guesses that stand in the cache behind `ids`
        self._ahead_logits: list[NDArray[np.float32]] = []  # after each of them
        self._newest_guess = 0
        self.guesses, self.right_guesses = 0, 0  # tokens, since the beginning
        self.newest_was_guessed = False  # of the token that was decoded last

    @property
    def why_torch(self) -> str | None:
        """Why a token is decoded in plain torch; None if it is not."""
        return self._why_none if self._native is None else self._native.why_not

    @property
    def how(self) -> str:
        """What decodes a token: "C", "CUDA graph", "compiled CUDA graph" or "torch"."""
        return "torch" if self._native is None or self._native.why_not is not None else self._native.how

    @property
    def vocab_size(self) -> int:
        return self._transformer.config.vocab_size

    @property
    def limit(self) -> int:
        """The most positions there can be."""
        return self._cache.limit

    def rewind(self, length: int) -> None:
        """Forget every token from position `length` on."""
        self._forget_guesses()
        if self._lookup is not None:
            self._lookup.forget(length)
        self._cache.rewind(length)
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
        self._forget_guesses()
        self._require_known(ids)
        for _ in self._read(list(ids)):
            yield len(self.ids)

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
        self.newest_was_guessed = self._ahead[:1] == [token_id]
        if self.newest_was_guessed:
            self.ids.append(self._ahead.pop(0))
            self.right_guesses += 1
            return self._checked(self._ahead_logits.pop(0), len(self.ids) - 1)
        self._forget_guesses()
        guess = self._guess(token_id)
        if not guess:
            for _ in self._read([token_id]):
                pass
            return self.logits(len(self.ids) - 1)
        start = len(self.ids)
        self._forward([token_id, *guess], length=start + 1, known=0)
        del self.ids[start + 1 :]
        assert self._native is not None
        first, *rest = self._native.logits(self._hidden[start : start + 1 + len(guess)]).copy()
        self._ahead, self._ahead_logits = guess, rest
        return self._checked(first, start)

    @torch.inference_mode()
    def logits(self, position: int) -> NDArray[np.float32]:
        """What the model expects after the token at `position`: (vocab,). One matrix product, no forward pass.

        Raises:
            ValueError: nothing was read at that position.
            BadCheckpoint: the model's numbers are broken.
        """
        if not 0 <= position < len(self.ids):
            raise ValueError(f"position {position} has not been read: there are {len(self.ids)}")
        logits: NDArray[np.float32]
        if self._native is not None:
            logits = self._native.logits(self._hidden[position : position + 1])[0].copy()
        else:
            logits = self._transformer.unembed(self._hidden[position]).cpu().numpy()
        return self._checked(logits, position)

    def _checked(self, logits: NDArray[np.float32], position: int) -> NDArray[np.float32]:
        if not np.isfinite(logits.max()):  # the largest is nan where any is
            raise BadCheckpoint(
                f"The model computed no valid number after position {position}.",
                "Its weights are damaged or do not fit this number format; try --dtype float32.",
            )
        return logits

    def _guess(self, token_id: int) -> list[int]:
        """Tokens that may follow this one, as many as there is room for."""
        if self._lookup is None:
            return []
        end = len(self.ids) + 1
        self.ids.append(token_id)
        guess = self._lookup.guess(self.ids)[: self.limit - end]
        self.ids.pop()
        if any(self._transformer.is_long(length) != self._cache.long for length in (end, end + len(guess))):
            guess = []  # to be read anew, which is done without one
        self.guesses += len(guess)
        self._newest_guess = len(guess)
        return guess

    def _forget_guesses(self) -> None:
        if self._lookup is not None and self._newest_guess:
            self._lookup.judge(self._newest_guess - len(self._ahead), self._newest_guess)
            self._newest_guess = 0
        self._cache.rewind(len(self.ids))
        self._ahead, self._ahead_logits = [], []

    def _require(self, more: int) -> None:
        end = len(self.ids) + more
        if end > self.limit:
            raise ContextFull(
                f"{end} tokens do not fit in this model's context of {self.limit}.", "Shorten the text or start anew."
            )

    def _require_known(self, ids: Sequence[int]) -> None:
        vocab_size = self._transformer.config.vocab_size
        if ids and (max(ids) >= vocab_size or min(ids) < 0):
            unknown = max(ids) if max(ids) >= vocab_size else min(ids)
            raise BadCheckpoint(
                f"The text contains token {unknown}, but this model knows {vocab_size} tokens.",
                "Its tokenizer.json names a token that its weights have no row for; leave that text out.",
            )

    def _read(self, ids: list[int]) -> Iterator[None]:
        """Read in chunks, and before that what is already there, if it has to be read anew.

        What the model expected after a token when the text was still short stays as it was recorded.
        """
        length, known = len(self.ids) + len(ids), 0
        long = self._transformer.is_long(length)
        if long != self._cache.long:
            known = len(self.ids) if long else 0
            ids = self.ids + ids
            self.rewind(0)
        for start in range(0, len(ids), self._chunk):
            self._forward(ids[start : start + self._chunk], length=length, known=known)
            yield

    @torch.inference_mode()
    def _forward(self, ids: list[int], *, length: int, known: int) -> None:
        """One pass of a text that will have `length` tokens; the hidden states of the first `known` ones are kept."""
        start, end = len(self.ids), len(self.ids) + len(ids)
        first = min(max(start, known), end)
        try:
            self._make_room(end)
            if self._native is not None and len(ids) <= self._few and first == start:
                for at in range(0, len(ids), MOST):
                    part = ids[at : at + MOST]
                    self._native.forward(part, self._cache, self._hidden[start + at :][: len(part)], length=length)
            else:
                tokens = torch.tensor([ids], device=self._device)
                hidden = self._transformer(tokens, self._cache, length=length)  # (1, time, d_model)
                self._hidden[first:end] = hidden[0, first - start :]
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._cache.rewind(start)
            raise OutOfMemory(
                f"There is not enough memory on {self._device} for {end} tokens of context.",
                "Use a smaller --context, a smaller model or another --device.",
            ) from error
        self.ids += ids

    def _make_room(self, length: int) -> None:
        self._cache.reserve(length)
        if length > len(self._hidden):
            grown = self._hidden.new_empty(self._cache.capacity, self._hidden.shape[1])
            grown[: len(self.ids)] = self._hidden[: len(self.ids)]
            self._hidden = grown


def _chunk_of(transformer: Transformer) -> int:
    """The same on every machine, as numbers depend on it in the last bits; longer where weights have to be unpacked."""
    quantised = sum(one.rows * one.columns for one in packed_in(transformer))
    n_weights = quantised // 2 + sum(one.numel() for one in transformer.parameters())
    affordable = int(_WORK / max(1, n_weights)) // _SHORTEST * _SHORTEST
    return min(CHUNK, max(_SHORTEST, affordable))
