"""The program on a real pseudo-terminal: what is typed there, what is seen, and how the terminal is left."""

from __future__ import annotations

import os
import re
import signal
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import pexpect
import pyte

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 60  # seconds; only a test that fails waits so long


class Terminal:
    """A child process on a terminal of its own.

    Args:
        arguments: of Python; left out, the chat's.
        environment: beside ours.
    """

    def __init__(
        self, *arguments: str, size: tuple[int, int] = (30, 100), environment: Mapping[str, str] | None = None
    ) -> None:
        rows, columns = size
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.output = b""
        own = {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"}
        self.child: Any = pexpect.spawn(
            sys.executable,
            list(arguments),
            dimensions=size,
            env={**os.environ, **own, **(environment or {})},
            timeout=PATIENCE,
            preexec_fn=_hear_everything,
        )
        self.child.delaybeforesend = None
        self.attributes = termios.tcgetattr(self.child.child_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.close(force=True)

    @property
    def text(self) -> str:
        return "\n".join(self.screen.display)

    def send(self, text: str | bytes) -> None:
        self.child.send(text)

    def read(self, seconds: float = 0.05) -> None:
        """Everything that comes until nothing has come for so long."""
        try:
            while True:
                data = self.child.read_nonblocking(65536, timeout=seconds)
                self.output += data
                self._stream.feed(data)
        except (pexpect.TIMEOUT, pexpect.EOF):
            return

    def wait(self, wanted: Callable[[], object]) -> None:
        end = time.monotonic() + PATIENCE
        while not wanted():
            assert time.monotonic() < end, "it never came:\n" + self.text
            self.read()

    def wait_for(self, text: str) -> None:
        self.wait(lambda: text in self.text)

    def end(self) -> int:
        """Wait until it has ended. Returns what a shell would say that it ended with."""
        self.wait(lambda: not self.child.isalive())
        self.read()
        code, number = self.child.exitstatus, self.child.signalstatus
        return int(code) if code is not None else 128 + int(number)

    @property
    def modes(self) -> set[str]:
        """The private modes that were switched on and not off again; 25, the cursor, is on by itself."""
        on = {"25", "7"}
        for numbers, what in _orders(self.output):
            for number in numbers.split(";"):
                (on.add if what == "h" else on.discard)(number)
        return on

    def is_as_before(self) -> bool:
        """Whether the terminal is as the program has found it."""
        keys = self.output.count(b"\x1b[>") - self.output.count(b"\x1b[<u")
        same = termios.tcgetattr(self.child.child_fd)[:4] == self.attributes[:4]
        return self.modes == {"25", "7"} and keys <= 0 and same


def _orders(output: bytes) -> list[tuple[str, str]]:
    return re.findall(r"\x1b\[\?([\d;]+)([hl])", output.decode("utf-8", "replace"))


def _hear_everything() -> None:
    """A program that was started from a shell's background is deaf to what this one is to hear."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def children_of(pid: int) -> list[int]:
    """The processes that one has started and that still run."""
    return [int(one) for task in Path(f"/proc/{pid}/task").glob("*/children") for one in task.read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
