"""A screen with one panel on it, what can be read there, and distributions from the real sampler chain."""

from __future__ import annotations

import numpy as np
from textual import on
from textual.app import App, ComposeResult
from textual.message import Message
from textual.widget import Widget

from core.records import Prediction
from core.sampling.distribution import Distribution
from core.settings import Settings
from tui.widgets.panels.changed import SettingChanged

WORDS: tuple[tuple[str, bytes], ...] = (
    *((text, text.encode()) for text in (" the", " the", "\n", " 巴黎", " 👩‍👩‍👧", "[/]", "\x1b[2J", "\x9b31m", "")),
    ("\ufffd", b"\xe2\x96"),
    (" a" * 40, b" a" * 40),
)


class Words:
    """A tokenizer whose first tokens are hard to show."""

    def token_text(self, token_id: int) -> str:
        return WORDS[token_id][0] if token_id < len(WORDS) else f" word{token_id}"

    def token_bytes(self, token_id: int) -> bytes:
        return WORDS[token_id][1] if token_id < len(WORDS) else f" word{token_id}".encode()


def predicted(
    settings: Settings | None = None, *, seed: int = 0, vocabulary: int = 500, spread: float = 3.0, top: int = 40
) -> Prediction:
    """What the chain makes of random logits; the tokens that are hard to show are the likeliest."""
    random = np.random.default_rng(seed).normal(0, spread, vocabulary)
    logits = np.asarray(np.sort(random)[::-1], dtype=np.float32)
    distribution = Distribution.of(logits, settings or Settings(), [])
    return distribution.prediction(Words(), top)  # type: ignore[arg-type]


class Stage(App[None]):
    """One widget of a given size, and the messages it has posted."""

    def __init__(self, widget: Widget, width: int = 50, height: int = 15) -> None:
        super().__init__()
        self.widget = widget
        widget.styles.width, widget.styles.height = width, height
        self.posted: list[Message] = []

    def compose(self) -> ComposeResult:
        yield self.widget

    @on(SettingChanged)
    def _note(self, message: Message) -> None:
        self.posted.append(message)


def rows(widget: Widget) -> list[str]:
    """The text of every line inside the border, as it is sent to the terminal."""
    return [widget.render_line(y).text for y in range(widget.size.height)]
