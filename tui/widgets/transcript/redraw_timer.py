"""How often something that keeps changing is drawn. Must not know what it is.

The first change is drawn at once or soon, and those that follow wait: longer, the longer the last drawing took.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from textual.timer import Timer
from textual.widget import Widget

SOON = 1 / 60  # seconds: many changes at once are one drawing
_INTERVAL = 1 / 20  # seconds between two drawings of what grows, at least; whoever tells more often waits
_SHARE = 4  # times as long as the last drawing took: drawing takes a fifth of the time at most,
_LONGEST_WAIT = 0.5  # unless that were slower than this


class RedrawTimer:
    """Runs `draw`, and never twice for what once is enough for."""

    def __init__(self, widget: Widget, draw: Callable[[], None]) -> None:
        self._widget = widget
        self._draw = draw
        self._timer: Timer | None = None
        self._due = 0.0  # when it goes off
        self._not_before = 0.0  # when what grows may be drawn next

    @property
    def wait(self) -> float:
        """Seconds until what grows may be drawn again; less than 0 if it may be now."""
        return self._not_before - monotonic()

    def within(self, seconds: float) -> None:
        """Draw after so long at the latest; now, if that is over."""
        if seconds <= 0:
            self.now()
        elif self._timer is None or monotonic() + seconds < self._due:
            self._stop()
            self._due = monotonic() + seconds
            self._timer = self._widget.set_timer(seconds, self.now)

    def now(self) -> None:
        """Draw, and measure how long that takes."""
        self._stop()
        start = monotonic()
        self._draw()
        end = monotonic()
        self._not_before = end + min(max(_INTERVAL, _SHARE * (end - start)), _LONGEST_WAIT)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
