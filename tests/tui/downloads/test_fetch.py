"""Fetching in a process of its own: the real client against a hub on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.weights.support.loopback_hub import Hub, Repo, cut, damaged, hold
from tui.controllers import notes
from tui.downloads.fetch import Fetching, _Speed
from tui.downloads.progress import Fetch
from tui.format import duration
from weights.library.listing import listing
from weights.library.names import BUNDLED

ROOT = Path(__file__).resolve().parents[3]
WEIGHTS = (BUNDLED / "textbook" / "model.safetensors").read_bytes()
FAR = 400_000  # bytes of the weights


def until(wanted: Callable[[], bool]) -> None:
    for _ in range(3000):
        if wanted():
            return
        time.sleep(0.02)
    raise AssertionError("it never came to that")


def fetch(reference: str) -> Fetch:
    fetching = Fetching()
    fetching.begin(reference)
    until(lambda: not fetching.now.is_running)
    return fetching.now


def part_of(tmp_path: Path) -> bytes:
    found = list((tmp_path / "data" / "models" / "some" / "model").glob("model.safetensors.*.part"))
    return found[0].read_bytes() if found else b""


def test_a_model_comes_and_its_end_is_told_once(own_hub: Hub) -> None:
    fetching = Fetching()
    assert fetching.now == Fetch()
    fetching.begin("Some/Model")
    assert fetching.now.is_running
    with pytest.raises(ValueError, match="Some/Model"):
        fetching.begin("some/other")
    until(lambda: not fetching.now.is_running)
    end = fetching.now
    assert (end.phase, end.name) == ("done", "some/model")
    until(lambda: fetching.take_end() == end)
    assert fetching.take_end() is None
    assert next(one for one in listing() if one.name == "some/model").problem is None
    fetching.forget()
    assert fetching.now == Fetch()


def test_stopped_while_nothing_comes_any_more_it_goes_on_later(own_hub: Hub, tmp_path: Path) -> None:
    reached = threading.Event()
    own_hub.faults["model.safetensors"] = [hold(FAR, reached)]
    fetching = Fetching()
    fetching.begin("some/model")
    assert reached.wait(60)
    until(lambda: fetching.now.done > FAR)
    assert fetching.now.file == "model.safetensors"
    assert fetching.now.total == sum(map(len, own_hub.repos["some/model"].files.values())) - len(
        own_hub.repos["some/model"].files["README.md"]
    )
    fetching.stop()
    fetching.forget()
    assert fetching.now.is_running, "what is still ending is not forgotten"
    until(lambda: fetching.now.phase == "stopped")
    there = part_of(tmp_path)
    assert 0 < len(there) <= FAR
    assert WEIGHTS.startswith(there)
    own_hub.asked.clear()
    fetching.begin("some/model")
    until(lambda: not fetching.now.is_running)
    assert fetching.now.phase == "done"
    assert own_hub.ranges("model.safetensors") == [f"bytes={len(there)}-"] * 2, "before and after the redirect"
    fetching.stop()
    assert fetching.now.phase == "done"


def test_stopped_at_once(own_hub: Hub, tmp_path: Path) -> None:
    fetching = Fetching()
    fetching.begin("some/model")
    fetching.stop()
    until(lambda: not fetching.now.is_running)
    assert fetching.now.phase == "stopped"


@pytest.mark.skipif(os.name != "posix", reason="there is no gentle end")
def test_stopped_before_anything_came_leaves_nothing(own_hub: Hub, tmp_path: Path) -> None:
    reached = threading.Event()
    own_hub.faults["config.json"] = [hold(0, reached)]
    fetching = Fetching()
    fetching.begin("some/model")
    assert reached.wait(60)
    folder = tmp_path / "data" / "models" / "some"
    assert folder.exists()
    fetching.stop()
    until(lambda: not fetching.now.is_running)
    assert fetching.now.phase == "stopped"
    assert not folder.exists()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks /proc")
def test_it_ends_with_the_process_that_began_it(own_hub: Hub, tmp_path: Path) -> None:
    own_hub.faults["model.safetensors"] = [hold(FAR, threading.Event())]
    program = (
        "import os, time\n"
        "from tui.downloads.fetch import Fetching\n"
        "fetching = Fetching()\n"
        "fetching.begin('some/model')\n"
        f"while fetching.now.done <= {FAR}: time.sleep(0.02)\n"
        "print(fetching._child.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    until(lambda: not is_alive(int(done.stdout)))
    there = part_of(tmp_path)
    assert there
    own_hub.asked.clear()
    assert fetch("some/model").phase == "done"
    assert own_hub.ranges("model.safetensors")[0] == f"bytes={len(there)}-"


def is_alive(pid: int) -> bool:
    """An orphan may stay a zombie where nobody collects them, as in a container."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
    return "State:\tZ" not in status


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("some/nothing", "There is no model some/nothing"),
        ("some/terms", "HF_TOKEN"),
        ("some/damaged", "wrong check sum"),
        ("nonsense", "OWNER/NAME"),
        ("-x", "OWNER/NAME"),
        ("", "OWNER/NAME"),
    ],
)
def test_what_is_in_the_way_is_the_hubs_own_sentence(reference: str, said: str, own_hub: Hub) -> None:
    own_hub.repos["some/terms"] = Repo(own_hub.repos["some/model"].files, terms=True)
    own_hub.repos["some/damaged"] = Repo(own_hub.repos["some/model"].files)
    own_hub.faults["model.safetensors"] = [damaged]
    end = fetch(reference)
    assert end.phase == "failed"
    assert said in end.failure
    assert "Traceback" not in end.failure


def test_no_network_and_a_process_that_dies(own_hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    own_hub.faults["model.safetensors"] = [cut(FAR), hold(0, threading.Event())]
    fetching = Fetching()
    fetching.begin("some/model")
    until(lambda: fetching.now.done > FAR)
    assert fetching._child is not None
    fetching._child.kill()
    until(lambda: not fetching.now.is_running)
    assert fetching.now.phase == "failed"
    assert "has ended with code -9. What has arrived is kept." in fetching.now.failure
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert "http://127.0.0.1:1 cannot be reached" in fetch("some/model").failure


def test_a_fetch_that_cannot_be_started_fails_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert "can be started: No such file" in fetch("some/model").failure


def test_the_speed_is_that_of_the_last_five_seconds() -> None:
    speed = _Speed()
    assert speed.at(0.0) is None
    speed.add(10.0, 0)
    assert speed.at(10.0) is None
    for second in range(1, 21):  # 100 bytes a second for ten seconds, then 300
        speed.add(10.0 + second, 100 * second if second <= 10 else 1000 + 300 * (second - 10))
    assert speed.at(30.0) == 300
    assert speed.at(35.0) == 150, "nothing has come since: 1500 bytes in ten seconds"


def test_how_long_it_takes_in_words() -> None:
    said = {
        0.2: "1 s",
        59.6: "60 s",
        99.4: "99 s",
        100: "2 min",
        3_569: "59 min",
        3_600: "1 h 0 min",
        7_500: "2 h 5 min",
    }
    assert {seconds: duration(seconds) for seconds in said} == said


def test_what_the_chat_says_of_it() -> None:
    assert notes.fetching(Fetch()) == notes.fetching(Fetch(phase="done")) == ""
    assert notes.fetching(Fetch(phase="asking")) == "fetching"
    assert notes.fetching(Fetch(phase="coming", done=1, total=4)) == "fetching 25%"
    assert "Ctrl+O" in notes.fetched(Fetch(phase="done", name="a/b"))
    assert notes.fetched(Fetch(phase="failed", reference="a/b", failure="No.")) == "a/b was not fetched: No."
    assert "stays" in notes.fetched(Fetch(phase="stopped", reference="a/b"))
