"""A reply that is being written: what of it may be shown, what is a thought, and when it is over. Knows no logits."""

from __future__ import annotations

import time
from typing import NamedTuple

from core.model import Model
from core.records import Channel, Finished, FinishReason, Shown
from core.settings import Settings
from core.text.streaming import StopStrings, TextStream
from core.text.thinking import ThoughtSplitter, opened_by

_TAIL = 16  # tokens in which the tag of a thought fits, and the whitespace after it


class Addition(NamedTuple):
    """What a token adds to its reply."""

    text: str  # tags included
    shown: Shown
    channel: Channel


class ReplyBuilder:
    """The reply so far. It begins with the wish for it, before the prompt is read."""

    def __init__(self, model: Model, *, limit: int) -> None:
        """
        Args:
            limit: positions there can be.
        """
        self._tokenizer, self._end_ids, self._limit = model.tokenizer, model.end_ids, limit
        self._stream = TextStream(model.tokenizer, continues=model.template is None)
        self._started = time.perf_counter()
        self._ids: list[int] = []
        self._text = ""
        self._stops = StopStrings()
        self._spelled = ThoughtSplitter()  # of what the tokens spell, to mark them
        self._readable = ThoughtSplitter()  # of their text, which may wait for the rest of a character or a stop string
        self._shown: list[Shown] = []
        self._thought_tokens = 0
        self._prompt_tokens = 0
        self._prefill_seconds = 0.0
        self._first_token_seconds: float | None = None

    def ask(self, prompt: list[int]) -> bool:
        """Say what it answers. Returns whether it begins with a thought."""
        self._prompt_tokens = len(prompt)
        tail = b"".join(map(self._tokenizer.token_bytes, prompt[-_TAIL:])).decode("utf-8", "replace")
        thinking = opened_by(tail)
        self._spelled, self._readable = ThoughtSplitter(opened=thinking), ThoughtSplitter(opened=thinking)
        return thinking

    def begin(self) -> None:
        """The prompt has been read."""
        self._prefill_seconds = time.perf_counter() - self._started

    def add(self, chosen: int, position: int, settings: Settings) -> Addition:
        """The next token. The last one of a reply also brings what was held back."""
        self._ids.append(chosen)
        ends = chosen in self._end_ids
        text = self._stream.flush() if ends else self._stream.push(chosen)
        last = ends or self._is_full(settings) or position + 1 == self._limit
        if last and not ends:
            text += self._stream.flush()
        silent = "" if ends or chosen not in self._tokenizer.silent_ids else self._tokenizer.token_text(chosen)
        text = self._stops.push(text, settings.stop, silent=silent)
        if last and not self._stops.hit:
            text += self._stops.flush()
        self._text += text
        shown = self._show(text, last=last or self._stops.hit)
        channel: Channel = "thought" if self._is_thought(chosen) and not ends else "answer"
        self._thought_tokens += channel == "thought"
        if self._first_token_seconds is None:
            self._first_token_seconds = time.perf_counter() - self._started
        return Addition(text, shown, channel)

    def end(self, position: int, settings: Settings) -> FinishReason | None:
        """Why its newest token, which stands at this position, is the last; None if it is not."""
        if self._ids[-1] in self._end_ids:
            return "end"
        if self._stops.hit:
            return "stop string"
        if self._is_full(settings):
            return "length"
        return "context" if position + 1 >= self._limit else None

    def finish(self, reason: FinishReason, *, seed: int, guesses: int, right_guesses: int) -> Finished:
        """All there is to say of it in the end."""
        tail = self._stops.flush() if reason == "stopped" else ""
        self._show(tail, last=True)
        ids = self._ids[:-1] if reason == "end" else self._ids
        return Finished(
            reason=reason,
            text=self._text + tail,
            shown=Shown(
                "".join(piece.thought for piece in self._shown),
                "".join(piece.answer for piece in self._shown),
                self._readable.thinking,
            ),
            ids=None if reason == "stop string" else tuple(ids),
            prompt_tokens=self._prompt_tokens,
            completion_tokens=len(self._ids),
            prefill_seconds=self._prefill_seconds,
            seconds=time.perf_counter() - self._started,
            first_token_seconds=self._first_token_seconds,
            seed=seed,
            thought_tokens=self._thought_tokens,
            guesses=guesses,
            right_guesses=right_guesses,
        )

    def _is_full(self, settings: Settings) -> bool:
        return settings.max_tokens is not None and len(self._ids) >= settings.max_tokens

    def _is_thought(self, chosen: int) -> bool:
        before = self._spelled.thinking
        self._spelled.push(self._tokenizer.token_text(chosen))
        return before or self._spelled.thinking

    def _show(self, text: str, *, last: bool) -> Shown:
        """More of the text, by channel."""
        thought, answer = self._readable.push(text)
        if last:
            thought_end, answer_end = self._readable.flush()
            thought, answer = thought + thought_end, answer + answer_end
        self._shown.append(Shown(thought, answer, self._readable.thinking))
        return self._shown[-1]
