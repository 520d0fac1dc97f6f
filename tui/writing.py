"""The answer that is being written, between the engine's telling of it and the next time the screen is drawn.

Must not know the screen.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from core.step import Step


@dataclass
class Writing:
    """One answer."""

    index: int  # of the transcript's message
    asked_at: float = field(default_factory=time.monotonic)
    first_token_at: float = 0.0
    count: int = 0  # tokens so far
    thought: int = 0  # of these, before the answer
    _text: str = ""
    _step: Step | None = None

    def add(self, step: Step) -> None:
        """Another token."""
        self._text += step.text
        self._step = step
        self.count += 1
        self.thought += step.thought
        if self.count == 1:
            self.first_token_at = time.monotonic()

    def take(self) -> tuple[str, Step | None]:
        """What has come since this was last asked: the text, and the last token."""
        text, step = self._text, self._step
        self._text, self._step = "", None
        return text, step

    @property
    def first_token_seconds(self) -> float:
        return self.first_token_at - self.asked_at

    @property
    def tokens_per_second(self) -> float | None:
        """None as long as nothing can be measured."""
        spent = time.monotonic() - self.first_token_at
        return (self.count - 1) / spent if self.count > 1 and spent > 0 else None
