"""The engine as the screen sees it: a process of its own, spoken to without ever waiting, started anew if it dies.

Started before the first frame, because importing torch takes seconds. Must not know torch or textual.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
import signal
import subprocess
import threading
from collections import deque
from pathlib import Path

from tui.child_process import start_child
from tui.engines.protocol import Answer, Failed, Load, Ready, Request
from tui.terminal.restore import SavedTerminal


class ProcessEngine:
    """An `EngineLink` to a child process.

    Args:
        log: a file for what the child prints on standard error; None: nowhere.
        terminal: what the child gives back if this process is killed; None: there is none.
    """

    def __init__(self, load: Load, log: Path | None = None, terminal: SavedTerminal | None = None) -> None:
        self._load = load
        self._log = log
        self._terminal = terminal
        self._answers: deque[Answer] = deque()
        self._start()

    @property
    def pid(self) -> int:
        return self._child.pid

    def send(self, request: Request) -> None:
        if self._dead.is_set():
            self._start(with_model=not isinstance(request, Load))
        self._outbox.put(request)

    def answers(self) -> list[Answer]:
        answers = []
        while self._answers:
            answers.append(self._answers.popleft())
        return answers

    def close(self) -> None:
        self._dead.set()
        self._child.kill()
        self._child.wait()

    def _start(self, *, with_model: bool = True) -> None:
        with contextlib.ExitStack() as stack:
            errors = stack.enter_context(open(self._log, "ab")) if self._log else subprocess.DEVNULL
            given = () if self._terminal is None else (str(self._terminal),)
            files = () if self._terminal is None else (self._terminal.fileno,)
            self._child = start_child("tui.engines.worker", *given, errors=errors, files=files)
        self._dead = threading.Event()
        self._outbox: queue.SimpleQueue[Request] = queue.SimpleQueue()
        if with_model:
            self._outbox.put(self._load)
        for task in (self._listen, self._speak):
            threading.Thread(target=task, args=(self._child, self._dead, self._outbox), daemon=True).start()

    def _listen(self, child: subprocess.Popen[bytes], dead: threading.Event, _: queue.SimpleQueue[Request]) -> None:
        assert child.stdout is not None
        try:
            while True:
                answers: list[Answer] = pickle.load(child.stdout)
                for answer in answers:
                    if isinstance(answer, Ready) and answer.local is not None:
                        self._load = answer.local.load  # proven: what a new process is to open, should this one die
                self._answers.extend(answers)
        except (EOFError, OSError, pickle.UnpicklingError, ValueError):
            pass
        if dead.is_set():  # closed on purpose
            return
        dead.set()
        child.kill()
        self._answers.append(
            Failed(
                message=f"The engine has stopped: {_how(child.wait())}.",
                hint="What it wrote is kept; the next message starts it again.",
                dead=True,
            )
        )

    def _speak(self, child: subprocess.Popen[bytes], dead: threading.Event, outbox: queue.SimpleQueue[Request]) -> None:
        """Write from a thread of its own: a long conversation to an engine that is busy loading would block."""
        assert child.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            while not dead.is_set():
                request = outbox.get()
                pickle.dump(request, child.stdin, pickle.HIGHEST_PROTOCOL)
                child.stdin.flush()


def _how(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"its process ended with code {code}"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else str(-code)
    killed = " (out of memory is the usual reason)" if name == "SIGKILL" else ""
    return f"its process was ended by {name}{killed}"
