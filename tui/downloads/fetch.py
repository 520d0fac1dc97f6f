"""A model on its way from the hub, as the screen sees it: begun, watched and stopped without ever waiting.

Must not know the hub's client, nor textual.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections import deque
from dataclasses import replace
from typing import Any

from tui.child_process import start_child
from tui.downloads.progress import Fetch, Phase

_WINDOW = 5.0  # seconds the speed is measured over
_PATIENCE = 2.0  # seconds that a process which was asked to end gets for it


class Fetching:
    """One fetch at a time, in a process that ends with this one."""

    def __init__(self) -> None:
        self._now = Fetch()
        self._speed = _Speed()
        self._lock = threading.Lock()  # of what both threads change
        self._child: subprocess.Popen[bytes] | None = None
        self._ended: Fetch | None = None

    @property
    def now(self) -> Fetch:
        now = self._now
        return replace(now, speed=self._speed.at(time.monotonic())) if now.phase == "coming" else now

    def begin(self, reference: str) -> None:
        """Fetch a model, or go on with fetching it.

        Raises:
            ValueError: another one is coming.
        """
        if self._now.is_running:
            raise ValueError(f"{self._now.reference} is still being fetched")
        self._now, self._ended, self._speed = Fetch(phase="asking", reference=reference), None, _Speed()
        try:
            self._child = start_child("tui.downloads.worker", reference)
        except OSError as error:
            failure = f"No process to fetch it in can be started: {error.strerror or error}."
            self._now = self._ended = replace(self._now, phase="failed", failure=failure)
            return
        # Not one of Textual's workers: leaving the program would wait for them.
        threading.Thread(target=self._listen, args=(self._child,), daemon=True).start()

    def stop(self) -> None:
        """End it. What has arrived stays, and `begin` goes on from there."""
        with self._lock:
            if self._child is None or not self._now.is_running:
                return
            self._now = replace(self._now, phase="stopping")
        self._child.terminate()
        reaper = threading.Timer(_PATIENCE, self._child.kill)
        reaper.daemon = True
        reaper.start()

    def forget(self) -> None:
        """It has ended, and that has been seen."""
        if not self._now.is_running:
            self._now = Fetch()

    def take_end(self) -> Fetch | None:
        """How it ended, told once."""
        ended, self._ended = self._ended, None
        return ended

    def _listen(self, child: subprocess.Popen[bytes]) -> None:
        outcome: dict[str, Any] = {}
        assert child.stdout is not None
        with child:
            for line in child.stdout:
                if not line.endswith(b"\n"):  # it was killed in the middle of a word
                    break
                told = json.loads(line)
                if "file" in told:
                    self._advance(told)
                else:
                    outcome = told
        with self._lock:
            self._now = self._ended = self._outcome(outcome, child.returncode)

    def _advance(self, told: dict[str, Any]) -> None:
        self._speed.add(time.monotonic(), told["came"])
        with self._lock:
            phase: Phase = "stopping" if self._now.phase == "stopping" else "coming"
            self._now = replace(self._now, phase=phase, file=told["file"], done=told["done"], total=told["total"])

    def _outcome(self, told: dict[str, Any], code: int) -> Fetch:
        if "name" in told:
            return replace(self._now, phase="done", name=told["name"])
        if self._now.phase == "stopping":
            return replace(self._now, phase="stopped")
        unsaid = f"The process that fetches it has ended with code {code}. What has arrived is kept."
        return replace(self._now, phase="failed", failure=told.get("failed", unsaid))


class _Speed:
    """How fast a number grows, over the last seconds."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, when: float, count: int) -> None:
        self._seen.append((when, count))
        while len(self._seen) > 2 and self._seen[1][0] <= when - _WINDOW:
            self._seen.popleft()

    def at(self, when: float) -> float | None:
        """A second, now; None while there is nothing to tell it from. It falls while nothing comes."""
        if not self._seen:
            return None
        (first, before), (_, after) = self._seen[0], self._seen[-1]
        return (after - before) / (when - first) if when > first and after > before else None
