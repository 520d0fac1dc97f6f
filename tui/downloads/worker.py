"""Fetches one model in a process of its own, and tells how far it is on standard output, a JSON object a line.

So importing the hub's client never slows the screen down, and a connection that hangs can be ended at once. It ends
when whoever started it is gone. Must not know the screen.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from core.errors import LogitscopeError

if TYPE_CHECKING:
    from weights.hub.pull import Progress

_EVERY = 0.1  # seconds between two lines


def main(reference: str) -> None:
    signal.signal(signal.SIGTERM, _leave)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        from weights.hub.pull import pull  # takes a second

        _say(name=pull(reference, _Teller().tell))
    except LogitscopeError as error:
        _say(failed=str(error))
    except Exception as error:  # whatever it is, the person is to read it
        _say(failed=f"It was not fetched, by a fault of Logitscope: {type(error).__name__}: {error}")


class _Teller:
    """Passes on so much of the progress as an eye can follow, also the last of it before a connection hangs."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        threading.Thread(target=self._pass_on, daemon=True).start()

    def tell(self, progress: Progress) -> None:
        self._newest = progress

    def _pass_on(self) -> None:
        told = None
        while True:
            time.sleep(_EVERY)
            if (now := self._newest) is not None and now is not told:
                told = now
                _say(file=now.name, done=now.done, total=now.total, came=now.came)


def _say(**what: object) -> None:
    os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")  # at once, whole, and without a lock


def _leave(*_: object) -> None:
    """Stopped by the person: files are closed and empty folders removed on the way out."""
    raise SystemExit


def _end_with_parent() -> None:
    """Nothing is ever written to our standard input: it ends with the process that holds its other end."""
    os.read(sys.stdin.fileno(), 1)  # a buffered read would hold a lock that a normal end waits for
    os._exit(0)  # what has arrived stays, as after any kill


if __name__ == "__main__":
    main(sys.argv[1])
