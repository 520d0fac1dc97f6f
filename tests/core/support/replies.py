"""A reply of an engine, from its first event to its last. Knows no test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from core.conversation import Conversation, Message
from core.engine import Engine
from core.records import Finished, Prefill, TokenRecord
from core.settings import Settings

HELLO: Conversation = (Message(role="user", text="Hello! How are you?"),)
PLAIN = Settings(seed=1, temperature=1.0, max_tokens=24)


@dataclass(frozen=True)
class Answer:
    prefills: list[Prefill]
    steps: list[TokenRecord]
    finished: Finished

    @property
    def ids(self) -> list[int]:
        return [record.id for record in self.steps]


def answer(
    engine: Engine,
    conversation: Conversation = HELLO,
    settings: Settings | Callable[[], Settings] = PLAIN,
    stopped: Callable[[], bool] = lambda: False,
) -> Answer:
    asked = (lambda: settings) if isinstance(settings, Settings) else settings
    events = list(engine.reply(conversation, asked, stopped))
    prefills = [event for event in events if isinstance(event, Prefill)]
    steps = [event for event in events if isinstance(event, TokenRecord)]
    finished = events[-1]
    assert isinstance(finished, Finished)
    assert events == [*prefills, *steps, finished], (
        "a prompt is read, tokens are chosen, the end is told: in this order"
    )
    return Answer(prefills, steps, finished)
