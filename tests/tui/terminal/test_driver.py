"""The chat on a real pseudo-terminal: what is pasted into it, and how it gives the terminal back."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tui.support.terminal import Terminal, children_of, is_alive
from tui.terminal.parser import END, START

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux: terminals and /proc")

PASTE = "A\x1b[31mB\r\x11\x1b[0mC"
SHOWN = ("A␛[31mB", "␑␛[0mC")


@pytest.fixture
def arguments(checkpoint: Path) -> tuple[str, ...]:
    return ("-m", "tui", "--model", str(checkpoint), "--device", "cpu")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"LOGITSCOPE_DATA": str(tmp_path / "data")}


@pytest.fixture
def chat(arguments: tuple[str, ...], environment: dict[str, str]) -> Iterator[Terminal]:
    with Terminal(*arguments, environment=environment) as terminal:
        terminal.wait_for("ready")
        yield terminal


def prompt(chat: Terminal) -> list[str]:
    """The lines of the message that is being written."""
    rows = [row[:50] for row in chat.screen.display]
    top = max(n for n, row in enumerate(rows) if row.startswith("╭"))
    bottom = max(n for n, row in enumerate(rows) if row.startswith("╰"))
    return [row.strip("│ ") for row in rows[top + 1 : bottom]]


def test_a_paste_cut_at_every_place_is_one_paste(chat: Terminal) -> None:
    whole = (START + PASTE + END).encode()
    for cut in range(3, len(whole)):
        chat.send(whole[:cut])
        time.sleep(0.12)  # longer than an escape character waits for what follows it
        chat.send(whole[cut:])
        chat.wait(lambda: prompt(chat) == list(SHOWN))
        chat.send("\x7f" * 20)
        chat.wait(lambda: prompt(chat) == ["Enter sends, Ctrl+J: new line"])
    assert chat.child.isalive()


def test_a_paste_byte_by_byte_that_is_no_text(chat: Terminal) -> None:
    for byte in START.encode() + b"\xff\xfeA\x00\x1b[<0;1;1M\r\rB" + END.encode():
        chat.send(bytes([byte]))
    chat.wait(lambda: prompt(chat) == ["��A␀␛[<0;1;1M", "", "B"])


def test_alt_enter_is_a_new_line(chat: Terminal) -> None:
    chat.send("one\x1b\rtwo")
    chat.wait(lambda: prompt(chat) == ["one", "two"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(chat: Terminal, number: signal.Signals) -> None:
    (engine,) = children_of(chat.child.pid)
    assert not chat.is_as_before()
    chat.child.kill(number)
    assert chat.end() == 128 + number
    assert chat.is_as_before(), chat.modes
    assert not is_alive(engine)


def test_ctrl_q_gives_the_terminal_back(chat: Terminal) -> None:
    (engine,) = children_of(chat.child.pid)
    chat.send("\x11")
    assert chat.end() == 0
    assert chat.is_as_before(), chat.modes
    assert not is_alive(engine)


SHELL = "import subprocess, sys; print('ended', subprocess.call([sys.executable, *sys.argv[1:]])); input()"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_where_the_screen_is_killed_its_engine_gives_the_terminal_back(
    arguments: tuple[str, ...], environment: dict[str, str], number: signal.Signals
) -> None:
    with Terminal("-c", SHELL, *arguments, environment=environment) as terminal:
        terminal.wait_for("ready")
        (screen,) = children_of(terminal.child.pid)
        (engine,) = children_of(screen)
        os.kill(screen, number)
        terminal.wait(terminal.is_as_before)
        terminal.wait(lambda: not is_alive(engine))


def test_where_the_shell_is_killed_all_of_it_ends(arguments: tuple[str, ...], environment: dict[str, str]) -> None:
    with Terminal("-c", SHELL, *arguments, environment=environment) as terminal:
        terminal.wait_for("ready")
        (screen,) = children_of(terminal.child.pid)
        (engine,) = children_of(screen)
        terminal.child.kill(signal.SIGKILL)
        terminal.wait(lambda: not is_alive(screen) and not is_alive(engine))


def test_where_the_terminal_is_gone_it_ends_though_it_hears_no_signal(
    arguments: tuple[str, ...], environment: dict[str, str]
) -> None:
    deaf = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    with Terminal("-c", deaf, *arguments, environment=environment) as terminal:
        terminal.wait_for("ready")
        screen = int(terminal.child.pid)
        terminal.child.ptyproc.fileobj.close()
        terminal.child.ptyproc.closed = terminal.child.ptyproc.terminated = True  # this test waits for it itself
        end = time.monotonic() + 30
        while os.waitpid(screen, os.WNOHANG) == (0, 0):
            assert time.monotonic() < end, "it is still there"
            time.sleep(0.05)


def test_a_fault_of_the_screen_is_a_sentence_and_the_terminal_is_as_before(
    arguments: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    fault = (
        "import sys; from tui.app import LogitscopeApp; from tui.__main__ import main\n"
        "LogitscopeApp.action_help = lambda self: [][7]\n"
        "sys.argv = sys.argv[:1] + sys.argv[3:]; main()"
    )
    with Terminal("-c", fault, *arguments, environment=environment) as terminal:
        terminal.wait_for("ready")
        terminal.send("\x1bOP")
        assert terminal.end() == 1
        assert terminal.is_as_before(), terminal.modes
        assert "Traceback" not in terminal.text
        assert "IndexError: list index out of range" in " ".join(terminal.text.split())
    assert "line 2, in <lambda>" in (tmp_path / "data" / "screen.log").read_text()
