"""The whole road on one page: a conversation in, one `TokenRecord` per token out.

    text -> chat template -> tokens -> transformer + KV cache -> logits -> sampler chain -> token -> text

Knows no file and no screen, and nothing after it calls back into it: settings and the wish to stop are asked for.
"""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from core.backends.base import Backend
from core.backends.choose import choose_backend
from core.backends.cuda_graph.compiler import Compiler
from core.backends.device import threads_for
from core.conversation import Conversation, fit
from core.decoding.decoder import Decoder
from core.decoding.model_runner import ModelRunner
from core.errors import BadSetting, ContextFull, EmptyPrompt
from core.model import Model
from core.records import Finished, FinishReason, Prediction, Prefill, Token, TokenRecord
from core.reply import ReplyBuilder
from core.sampling.dice import dice
from core.sampling.distribution import Distribution
from core.settings import Settings
from core.speculative.draft_model import DraftModel
from core.speculative.proposers import proposers_for
from core.text.prompt import Prompt, make_prompt

TOP = 20  # candidates recorded one by one
_TINY = 1e-300  # below, a probability has lost digits that its logarithm still has
_ROOM = 256  # tokens an answer should find free, where the context is large enough


class Engine:
    """One model and the one sequence it has in mind."""

    def __init__(
        self,
        model: Model,
        *,
        speculate: bool = True,
        draft: DraftModel | None = None,
        compiler: Compiler | None = None,
    ) -> None:
        """
        Args:
            speculate: read tokens ahead where that makes writing faster; what is written stays the same.
            draft: a smaller model to propose them.
            compiler: fuses the work for a token on a GPU, while tokens are written without that.

        Raises:
            BadSetting: there is a compiler, and no GPU that it is for.
        """
        if compiler is not None and model.device.type != "cuda":
            raise BadSetting(f"There is nothing to compile for {model.device}.", "Leave --compile out, or use CUDA.")
        self.model, self.draft, self.compiler = model, draft, compiler
        if model.device.type == "cpu":
            torch.set_num_threads(threads_for(model.n_parameters))
        self._decoder = decoder_for(model, ngrams=speculate, draft=draft, compiler=compiler)
        self._seed = 0
        self._newest: tuple[Token, Distribution] | None = None

    @property
    def backend(self) -> Backend:
        """What computes the forward pass."""
        return self._decoder.backend

    def reply(
        self,
        conversation: Conversation,
        settings: Callable[[], Settings],
        stopped: Callable[[], bool] = lambda: False,
        *,
        top: int = TOP,
    ) -> Iterator[Prefill | TokenRecord | Finished]:
        """`tokens`, each with everything that led to it."""
        for event in self.tokens(conversation, settings, stopped):
            yield self.record(top=top) if isinstance(event, Token) else event

    def tokens(
        self,
        conversation: Conversation,
        settings: Callable[[], Settings],
        stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Prefill | Token | Finished]:
        """Answer the conversation's last message. `record` records whichever of its tokens are looked at.

        Args:
            settings: asked anew for every token, so a change acts on the next one.
            stopped: asked for every token and every chunk of the prompt.

        Raises:
            ContextFull: the last message alone does not fit.
            BadTemplate: the model's template refuses the conversation.
        """
        self._newest = None
        reply = ReplyBuilder(self.model, limit=self._decoder.limit)
        now = settings()
        self._seed = now.seed if now.seed is not None else secrets.randbits(32)
        before = self._decoder.lookahead.proposed, self._decoder.lookahead.accepted

        def finished(reason: FinishReason) -> Finished:
            total, right = self._decoder.lookahead.proposed - before[0], self._decoder.lookahead.accepted - before[1]
            return reply.finish(reason, seed=self._seed, guesses=total, right_guesses=right)

        (ids, remarks), dropped = self._prompt(conversation)
        thinking = reply.ask(ids)
        reused = self._decoder.keep_common(ids)
        prefill = Prefill(
            done=reused, total=len(ids), reused=reused, dropped=dropped, thinking=thinking, remarks=remarks
        )
        yield prefill
        for done in self._decoder.prefill(ids[reused:]):
            yield replace(prefill, done=done)
            if stopped() and done < len(ids):
                yield finished("stopped")
                return
        reply.begin()
        reason = yield from self._write(reply, settings, stopped)
        yield finished(reason)

    def record(self, *, top: int = TOP) -> TokenRecord:
        """The newest token and everything that led to it, as long as no other has been asked for.

        Raises:
            ValueError: there is none.
        """
        if self._newest is None:
            raise ValueError("no token has been chosen")
        token, distribution = self._newest
        prediction = distribution.prediction(self.model.tokenizer, top, also=token.id)
        chosen = next(candidate for candidate in prediction.candidates if candidate.id == token.id)
        p = chosen.raw_probability
        return TokenRecord.of(
            token,
            probability=p,
            logprob=math.log(p) if p > _TINY else distribution.logprob(token.id),
            rank=chosen.rank,
            chain_probability=chosen.probability,
            prediction=prediction,
        )

    def inspect(self, position: int, settings: Settings, *, top: int = TOP) -> tuple[int, float, Prediction]:
        """The distribution from which the token at `position` is drawn, under these settings and with the same dice.

        No forward pass: the hidden state of every position is kept.

        Returns:
            The token those dice choose, the number drawn in [0, 1), and the prediction.

        Raises:
            ValueError: the position is not within what has been read, or just after it.
        """
        logits = self._decoder.logits(position - 1)
        distribution = Distribution.of(logits, settings, self._decoder.ids[:position])
        uniform = dice(self._seed_of(settings), position)
        chosen = distribution.draw(uniform)
        return chosen, uniform, distribution.prediction(self.model.tokenizer, top, also=chosen)

    def read(self, ids: list[int]) -> None:
        """Have exactly these tokens in mind, so that `inspect` can look at what comes after them.

        Raises:
            ContextFull: there are more than fit.
        """
        reused = self._decoder.keep_common(ids)
        for _ in self._decoder.prefill(ids[reused:]):
            pass

    def _seed_of(self, settings: Settings) -> int:
        return self._seed if settings.seed is None else settings.seed

    def _prompt(self, conversation: Conversation) -> tuple[Prompt, int]:
        """The prompt, and how many of the oldest messages had to be left out to leave room for an answer."""

        def prompt_of(part: Conversation) -> Prompt:
            return make_prompt(part, self.model.template, self.model.tokenizer)

        limit = self._decoder.limit
        kept, dropped = fit(conversation, limit - min(_ROOM, limit // 4), lambda part: len(prompt_of(part).ids))
        prompt = prompt_of(kept)
        ids = prompt.ids
        if not ids:
            raise EmptyPrompt("There is nothing to read: the prompt is empty.", "Type something first.")
        if len(ids) >= limit:
            raise ContextFull(
                f"This message makes a prompt of {len(ids):,} tokens, and the model's context is {limit:,}.",
                "Shorten it, or choose a model with a larger context.",
            )
        return prompt, dropped

    def _write(
        self, reply: ReplyBuilder, settings: Callable[[], Settings], stopped: Callable[[], bool]
    ) -> Generator[Token, None, FinishReason]:
        """Token after token; returns why the last of them is the last."""
        before = time.perf_counter()
        logits = self._decoder.logits(len(self._decoder.ids) - 1)
        while not stopped():
            forward_ms = (time.perf_counter() - before) * 1e3
            now = settings()
            token = self._choose(logits, now, reply, forward_ms)
            reason = reply.end(token.position, now)
            yield token
            if reason is not None:
                return reason
            before = time.perf_counter()
            logits = self._decoder.decode_one(token.id)
        return "stopped"

    def _choose(self, logits: NDArray[np.float32], settings: Settings, reply: ReplyBuilder, forward_ms: float) -> Token:
        began = time.perf_counter()
        position = len(self._decoder.ids)
        distribution = Distribution.of(logits, settings, self._decoder.ids)
        uniform = dice(self._seed_of(settings), position)
        chosen = distribution.draw(uniform)
        added = reply.add(chosen, position, settings)
        token = Token(
            position=position,
            id=chosen,
            bytes=self.model.tokenizer.token_bytes(chosen),
            text=added.text,
            shown=added.shown,
            drawn=uniform,
            ends=chosen in self.model.end_ids,
            channel=added.channel,
            guessed=self._decoder.lookahead.newest_was_accepted,
            forward_ms=forward_ms,
            sampling_ms=(time.perf_counter() - began) * 1e3,
        )
        self._newest = token, distribution
        return token


def decoder_for(
    model: Model, *, ngrams: bool = False, draft: DraftModel | None = None, compiler: Compiler | None = None
) -> Decoder:
    """A new sequence for a model, on the fastest backend there is.

    Args:
        ngrams, draft: what proposes tokens to read ahead, see `proposers_for`.
        compiler: see `choose_backend`.
    """
    backend = choose_backend(model.transformer, device=model.device, dtype=model.dtype, compiler=compiler)
    runner = ModelRunner(backend)
    return Decoder(runner, proposers_for(model, runner, ngrams=ngrams, draft=draft))
