"""Tries an installed `logitscope` as a person would, from a directory of its own: smoke.py COMMAND DIRECTORY.

Not a pytest module: it is run against the wheel in an environment that has nothing else.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pyte

COLUMNS, ROWS, PATIENCE = 100, 30, 120


def output(command: str, *arguments: str, directory: Path) -> str:
    quiet = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}  # what is piped would be read too
    done = subprocess.run([command, *arguments], cwd=directory, timeout=PATIENCE, **quiet)
    assert done.returncode == 0, f"{arguments} ended with {done.returncode}: {done.stderr}"
    return done.stdout


def try_commands(command: str, directory: Path) -> None:
    answer = output(command, "ask", "Hello!", "--seed", "1", "--max-tokens", "40", directory=directory)
    assert answer.strip(), "ask answered nothing"
    again = output(command, "ask", "Hello!", "--seed", "1", "--max-tokens", "40", directory=directory)
    assert answer == again, "the same seed gave another text"
    record = json.loads(output(command, "next", "Once upon a", "--raw", "--json", directory=directory))
    for kind in ("raw_probability", "probability"):
        total = sum(c[kind] for c in record["candidates"]) + record["rest"][kind]
        assert math.isclose(total, 1, abs_tol=1e-6), f"{kind} adds up to {total}"
    print("ask:", answer.strip(), "\nnext:", record["candidates"][0])


def try_screen(command: str, directory: Path) -> None:
    """Type a message on a real pseudo-terminal and wait until it has been answered."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    child = pexpect.spawn(command, cwd=str(directory), dimensions=(ROWS, COLUMNS), timeout=PATIENCE)

    def wait_for(wanted: str) -> None:
        end = time.monotonic() + PATIENCE
        while wanted not in "\n".join(screen.display):
            assert time.monotonic() < end, f"{wanted!r} never came:\n" + "\n".join(screen.display)
            try:
                stream.feed(child.read_nonblocking(65536, timeout=1))
            except pexpect.TIMEOUT:
                continue

    wait_for("Temperature")
    child.send("Hello!\r")
    wait_for("tok/s")
    wait_for("ready")
    print("\n".join(line.rstrip() for line in screen.display))
    child.send("\x11")  # Ctrl+Q
    child.expect(pexpect.EOF, timeout=10)
    child.close()
    assert child.exitstatus == 0, f"the screen ended with {child.exitstatus}"


if __name__ == "__main__":
    executable, away = sys.argv[1], Path(sys.argv[2])
    try_commands(executable, away)
    try_screen(executable, away)
    print("smoke: passed")
