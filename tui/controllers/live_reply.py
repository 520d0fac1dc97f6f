"""The answer that is being written: what the engine tells of it is drawn together, a few times a second.

Must not know the engine.
"""

from __future__ import annotations

import time

from core.records import Shown, Token, TokenRecord
from core.text.thinking import split_thought
from tui.widgets.transcript.transcript import Transcript

PANEL_INTERVAL = 0.12  # seconds: a whole panel of new numbers is dear to draw, and nobody reads it faster


class LiveReply:
    """One answer, which is the newest message of the transcript.

    Args:
        name: of the model that writes it.
    """

    def __init__(self, transcript: Transcript, name: str) -> None:
        self._transcript = transcript
        self._index = transcript.add("assistant", name=name)
        self._asked_at = time.monotonic()
        self._first_token_at = 0.0
        self._count = self._thought = 0  # tokens so far, and of these before the answer
        self._begins_thinking = self._thinking = False
        self._pending: list[Shown] = []  # what is not drawn yet
        self._record: TokenRecord | None = None
        self._taken_at = -PANEL_INTERVAL

    def open_thought(self) -> None:
        """It begins inside a thought."""
        if not self._begins_thinking:
            self._begins_thinking = self._thinking = True
            self._transcript.append(self._index, "", thinking=True)

    def add(self, token: Token) -> None:
        """Another token."""
        self._pending.append(token.shown)
        if isinstance(token, TokenRecord):
            self._record = token
        self._count += 1
        self._thought += token.channel == "thought"
        if self._count == 1:
            self._first_token_at = time.monotonic()

    def draw(self) -> None:
        """Draw what has come since the last time."""
        thought = "".join(piece.thought for piece in self._pending)
        answer = "".join(piece.answer for piece in self._pending)
        thinking = self._pending[-1].thinking if self._pending else self._thinking
        if thought or answer or thinking != self._thinking:
            self._transcript.append(self._index, answer, thought=thought, thinking=thinking)
        self._pending, self._thinking = [], thinking
        self._transcript.count_thought(self._index, self._thought)

    def take_record(self, *, now: bool) -> TokenRecord | None:
        """The last token of which everything is known, if it was not taken yet.

        Args:
            now: even if the one before was taken a moment ago.
        """
        if self._record is None or not (now or time.monotonic() - self._taken_at >= PANEL_INTERVAL):
            return None
        record, self._record = self._record, None
        self._taken_at = time.monotonic()
        return record

    def rename(self, name: str) -> None:
        """It was asked for before it was certain who would answer."""
        self._transcript.rename(self._index, name)

    def replace(self, whole: Shown) -> None:
        """This is the whole of it."""
        self._pending = []
        self._transcript.set_text(self._index, whole.answer, thought=whole.thought, thinking=whole.thinking)

    def break_off(self, text: str) -> None:
        """Nobody will tell how it ends: this has been written, with what was held back as perhaps half a tag."""
        self.draw()
        thought, answer = split_thought(text, opened=self._begins_thinking)
        self.replace(Shown(thought, answer, self._thinking))

    def end(self, suffix: str) -> None:
        """Nothing more is coming; the suffix says why."""
        self._transcript.finish(self._index, suffix)

    @property
    def first_token_seconds(self) -> float:
        return self._first_token_at - self._asked_at

    @property
    def tokens_per_second(self) -> float | None:
        """None as long as nothing can be measured."""
        spent = time.monotonic() - self._first_token_at
        return (self._count - 1) / spent if self._count > 1 and spent > 0 else None
