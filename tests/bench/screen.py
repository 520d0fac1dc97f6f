"""What the screen costs: time to the first frame, and tokens per second in the chat against headless, in one run.

    python -m tests.bench.screen [MODEL] [RUNS]

Headless is the engine in a process of its own that prints nothing. Runs alternate, so that whatever else the machine
does falls on both; read the ratio of the medians. Where others use the processors too, the share that drawing takes of
one tells more than the clock.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pexpect
import pyte

from tests.bench.endless import endless

COLUMNS, ROWS, PATIENCE = 140, 50, 120
PROMPT = "Tell me a long story."
SAMPLING = "--seed 5 --temperature 1.6 --top-k 0 --top-p 1 --min-p 0 --max-tokens 400"  # long, and always the same


HEADLESS = """
import sys
from core.conversation import Message
from tui.cli.options import parse
from tui.cli.commands import engine_of
options = parse(sys.argv[2:])
*_, end = engine_of(options).tokens((Message(role="user", text=sys.argv[1]),), lambda: options.settings)
print(end.tokens_per_second)
"""


def headless(model: str) -> float:
    """Tokens per second of the engine alone."""
    command = [sys.executable, "-c", HEADLESS, PROMPT, "--model", model, *SAMPLING.split()]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


class Screen:
    """The chat on a pseudo-terminal."""

    def __init__(self, model: str) -> None:
        self._display = pyte.Screen(COLUMNS, ROWS)
        self._stream = pyte.ByteStream(self._display)
        self.started = time.perf_counter()
        arguments = ["-m", "tui", "--model", model, *SAMPLING.split()]
        self.child = pexpect.spawn(sys.executable, arguments, dimensions=(ROWS, COLUMNS), timeout=PATIENCE)

    @property
    def text(self) -> str:
        return "\n".join(self._display.display)

    def until(self, wanted: Callable[[str], bool]) -> float:
        """Seconds since the start when the screen first showed what is wanted."""
        while not wanted(self.text):
            if time.perf_counter() - self.started > PATIENCE:
                raise SystemExit(f"it never came:\n{self.text}")
            try:
                self._stream.feed(self.child.read_nonblocking(65536, timeout=0.2))
            except pexpect.TIMEOUT:
                continue
        return time.perf_counter() - self.started

    def until_bytes(self, *wanted: bytes) -> float:
        """The same by the raw output: interpreting it would take the processor from what is measured, and time."""
        raw = b""
        while not all(text in raw for text in wanted):
            try:
                raw += self.child.read_nonblocking(65536, timeout=PATIENCE)
            except pexpect.TIMEOUT:
                raise SystemExit(f"{wanted!r} never came") from None
        came = time.perf_counter()
        self._stream.feed(raw)
        return came - self.started

    @property
    def cpu_seconds(self) -> float:
        """What the screen's own process has used so far, as Linux counts it."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        self.child.send("\x11")
        self.child.expect(pexpect.EOF)


def on_screen(model: str) -> tuple[float, float, float, float]:
    """Seconds to the first frame, until the model is open, tokens per second of one answer, and the share of one
    processor that the screen's process took while it was written."""
    screen = Screen(model)
    first = screen.until_bytes(b"Temperature", b"Samplers", b"sends")
    ready = screen.until(lambda text: "○ ready" in text)
    screen.child.send(f"{PROMPT}\r")
    screen.until_bytes(b"writing")
    busy, since = screen.cpu_seconds, time.perf_counter()
    screen.until_bytes(b"ready")
    share = (screen.cpu_seconds - busy) / (time.perf_counter() - since)
    screen.until(lambda text: "○ ready" in text)
    speed = re.search(r"([\d.]+) tok/s", screen.text)
    screen.close()
    if speed is None:
        raise SystemExit(f"no speed on the screen:\n{screen.text}")
    return first, ready, float(speed[1]), 100 * share


def main(model: str, runs: int) -> None:
    screens, plain = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = str(endless(model, Path(folder)))
        for _ in range(runs):
            plain.append(headless(path))
            screens.append(on_screen(path))
    firsts, readies, speeds, shares = zip(*screens, strict=True)
    for name, values, unit in (
        ("first frame", firsts, "s"),
        ("model open", readies, "s"),
        ("headless", plain, "tokens/s"),
        ("on the screen", speeds, "tokens/s"),
        ("its drawing", shares, "% of a processor"),
    ):
        print(
            f"{name:14} median {statistics.median(values):8.2f} {unit}  (from {min(values):.2f} to {max(values):.2f})"
        )
    print(f"the screen keeps {statistics.median(speeds) / statistics.median(plain):.1%} of headless")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "bundled", int(sys.argv[2]) if len(sys.argv) > 2 else 5)
