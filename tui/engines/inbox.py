"""What the engine has been asked for: jobs in order, and the newest word on what acts at once. Must not know the model.

Filled by the thread that listens and read by the one that works.
"""

from __future__ import annotations

from queue import SimpleQueue

from core.settings import Settings
from tui.engines.protocol import Cancel, Change, Inspect, Load, Reply, Request, Stop


class Inbox:
    """Replies are known by their numbers, models to open by their order: the first is number 1."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Load | Reply | Inspect] = SimpleQueue()
        self.settings = Settings()
        self.newest_inspect: Inspect | None = None
        self.newest_load = 0
        self._newest_reply = 0
        self._stopped_up_to = 0
        self._cancelled_up_to = 0

    def take(self, request: Request) -> None:
        match request:
            case Change(settings):
                self.settings = settings
            case Stop():
                self._stopped_up_to = self._newest_reply
            case Cancel():
                self._cancelled_up_to = self.newest_load
            case Reply():
                self.settings, self._newest_reply = request.settings, request.number
                self.jobs.put(request)
            case Inspect():
                self.newest_inspect = request
                self.jobs.put(request)
            case Load():
                self.newest_load += 1
                self.jobs.put(request)

    def stopped(self, number: int) -> bool:
        """Whether this reply is to end."""
        return number <= self._stopped_up_to

    def cancelled(self, load: int) -> bool:
        """Whether this model is not to be opened after all."""
        return load <= self._cancelled_up_to
