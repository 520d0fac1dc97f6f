"""Standard streams that are closed, full or read by nobody, and Ctrl+C while it starts: as a shell does them."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.tui.support.terminal import ROOT, Terminal

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell's redirections")

LOGITSCOPE = f"{shlex.quote(sys.executable)} -m tui"


def shell(command: str) -> tuple[int, str, str]:
    """What a line of a shell ends with and prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-c", command.replace("logitscope", LOGITSCOPE)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        stdin=subprocess.DEVNULL,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("logitscope ask <&-", 2, "The prompt is empty."),
        ("logitscope <&-", 2, "The chat needs a terminal."),
        ("logitscope >&-", 2, "The chat needs a terminal."),
        ("logitscope tokens hi >&-", 1, "Standard output is closed."),
        ("logitscope --help >&-", 1, "Standard output is closed."),
        ("logitscope tokens hi >/dev/full", 1, "No space left on device."),
        ("logitscope tokens hi --json >/dev/full", 1, "No space left on device."),
        ("logitscope ask hi --max-tokens 2 >/dev/full", 1, "No space left on device."),
        ("logitscope models >/dev/full", 1, "No space left on device."),
        ("logitscope --help >/dev/full", 1, "No space left on device."),
        ("logitscope --version >/dev/full", 1, "No space left on device."),
        ("logitscope tokens hi 1</dev/null", 1, "Bad file descriptor."),
        ("logitscope ask 0>/dev/null", 1, "Bad file descriptor."),
    ],
)
def test_what_cannot_be_read_or_written_is_a_sentence(line: str, code: int, said: str) -> None:
    ended, out, errors = shell(line)
    assert (ended, out) == (code, "")
    assert errors.startswith("logitscope: ")
    assert said in errors
    assert errors.count("\n") == 1, "one line"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("logitscope tokens hi >&- 2>&-", 1),
        ("logitscope --dance 2>/dev/full", 2),
        ("logitscope --dance 2>&-", 2),
        ("logitscope <&- >&- 2>&-", 2),
        ("logitscope models | true; exit ${PIPESTATUS[0]}", 141),
        ("logitscope models --json | true; exit ${PIPESTATUS[0]}", 141),
        ("logitscope tokens hi | true; exit ${PIPESTATUS[0]}", 141),
        ("logitscope --help | true; exit ${PIPESTATUS[0]}", 141),
    ],
)
def test_where_nobody_is_to_be_told_it_is_quiet(line: str, code: int) -> None:
    assert shell(line) == (code, "", "")


def test_it_works_without_what_it_does_not_need() -> None:
    assert shell("logitscope tokens hi <&- 2>&-")[0] == 0


BEGUN = "print('begun', flush=True); from tui.__main__ import main; main()"  # what Python does before is not ours


@pytest.mark.parametrize("command", [("ask", "hi", "--max-tokens", "900"), ()])
@pytest.mark.parametrize("tenths", range(10))
def test_ctrl_c_while_it_starts_is_quiet(tenths: int, command: tuple[str, ...]) -> None:
    with Terminal("-c", BEGUN, *command) as terminal:
        terminal.wait_for("begun")
        time.sleep(tenths / 10)
        terminal.child.kill(signal.SIGINT)
        assert terminal.end() == 130
        assert b"Traceback" not in terminal.output
        assert b"Exception" not in terminal.output


def test_a_terminal_that_knows_no_orders_gets_none(checkpoint: Path, tmp_path: Path) -> None:
    thinking = tmp_path / "thinking"
    thinking.mkdir()
    for file in checkpoint.iterdir():
        (thinking / file.name).symlink_to(file)
    (thinking / "tokenizer_config.json").unlink()
    (thinking / "tokenizer_config.json").write_text('{"chat_template": "{{ messages[0].content }}<think>"}')
    arguments = ("-m", "tui", "ask", "hi", "--max-tokens", "5", "--seed", "3", "--model", str(thinking))
    for name, dims in (("dumb", False), ("xterm", True)):
        with Terminal(*arguments, environment={"TERM": name}) as terminal:
            assert terminal.end() == 0
            assert (b"\x1b[2m" in terminal.output) is dims
            assert (b"\x1b" in terminal.output) is dims
    with Terminal("-m", "tui", environment={"TERM": "dumb"}) as terminal:
        assert terminal.end() == 2
        assert b"TERM is 'dumb'" in terminal.output
        assert b"\x1b" not in terminal.output
