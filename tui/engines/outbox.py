"""What the screen is told of a reply: every token, and of those told together the newest with all that led to it.

The screen draws a few times a second. A fast model writes hundreds of tokens in between, and nobody sees how each of
them came about; looking back at one is what `Inspect` is for. Must not know the model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from core.records import Finished, Prefill, Token, TokenRecord
from tui.engines.protocol import Answer, Told

INTERVAL = 1 / 30  # seconds: more often than the screen draws


class Outbox:
    """The answers to one request for a reply.

    Args:
        number: of the reply.
        send: hands answers over, oldest first.
        record: tells everything about the newest token.
    """

    def __init__(
        self, number: int, send: Callable[[Sequence[Answer]], None], record: Callable[[], TokenRecord]
    ) -> None:
        self._number = number
        self._send = send
        self._record = record
        self._held: list[Token] = []
        self._sent_at = -INTERVAL

    def tell(self, event: Prefill | Token | Finished) -> None:
        """A token waits until the next one that comes after the interval; anything else goes at once."""
        if isinstance(event, Token):
            self._held.append(event)
            if time.monotonic() - self._sent_at >= INTERVAL:
                self.flush()
        else:
            self.flush()
            self._send([Told(self._number, event)])

    def flush(self) -> None:
        """Whatever waits goes now."""
        if not self._held:
            return
        events, self._held = [*self._held[:-1], self._record()], []
        self._send([Told(self._number, event) for event in events])
        self._sent_at = time.monotonic()
