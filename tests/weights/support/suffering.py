"""A program that opens damaged models and talks to what opens; what it saw goes to standard output as lines of JSON.

It is a process of its own so that whatever hangs, dies or eats memory is seen from outside, and only harms itself.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path

import torch

from core.conversation import Message
from core.engine import Engine
from core.errors import LogitscopeError
from core.records import Finished
from core.settings import Settings
from tests.weights.support.damage import Damage, Good
from weights.library.probe import look
from weights.library.scan import FoundModel
from weights.load import load

SECONDS = 5  # of the processor's time, to open one input or to talk to it; that a busy machine takes longer is no fault
ROOM = 1 << 30  # bytes more than the program itself may have
_PYTHON_INSIDE = re.compile(r"<(class|function|built-in|bound|frame|code|module|method)\b|0x[0-9a-f]{6}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("good", type=Path)
    parser.add_argument("first", type=int)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    good = Good(asked.good)
    damages = list(import_module(asked.module).damages(good))
    for name in ("directory", "shards", "gguf"):  # what is loaded once is loaded by now
        speak(_path(asked.good / name))
    _limit_memory()
    before = peak()
    for number, damage in enumerate(damages[asked.first :], asked.first):
        print(json.dumps({"begins": number, "of": len(damages), "kind": damage.kind, "name": damage.name}), flush=True)
        found = suffer(damage, good)
        print(json.dumps(found | {"megabytes": (peak() - before) // 1000}), flush=True)


def suffer(damage: Damage, good: Good) -> dict[str, object]:
    """What became of one input."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        shutil.copytree(good.folder / damage.model, folder)
        os.environ["BOMB"] = str(bomb := Path(temporary) / "gone off")
        damage.change(folder)
        try:
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            listed = look(FoundModel(name="x", path=_path(folder), source="folder")).problem
            said = speak(_path(folder))
        except LogitscopeError as error:
            found = {"error": type(error).__name__, "message": error.message, "hint": error.hint}
        except BaseException:  # a panic of the library in Rust is no Exception
            found = {"fault": traceback.format_exc(limit=-4)}
        else:
            leaks = _PYTHON_INSIDE.search(said)
            found = {"fault": f"shows Python's inside: {said[:200]}"} if leaks else {"spoke": True}
            if listed is not None:
                found = {"fault": f"the listing refuses what opens: {listed}"}
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        return {"fault": "a pickle was opened"} if bomb.exists() else found


def speak(path: Path) -> str:
    """Open it and have it say two tokens. Returns the prompt's text."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)  # whoever is still at it then is killed
    model = load(path, device="cpu", dtype="float32")
    conversation = (Message(role="user", text="Hi, the cat sat on the mat!"),)
    settings = Settings(max_tokens=2, seed=0)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    events = list(Engine(model).reply(conversation, lambda: settings))
    assert isinstance(events[-1], Finished)
    return model.template.render(conversation) if model.template else ""


def peak() -> int:
    """Of the memory that this program has ever had at once, in kB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if sys.platform != "linux":
        return most // 1000 if sys.platform == "darwin" else most
    lines = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss also knows what started this program
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def _path(folder: Path) -> Path:
    file = folder / "model.gguf"
    return file if file.is_file() and not (folder / "config.json").exists() else folder


def _limit_memory() -> None:
    if sys.platform == "linux":
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, -1))


if __name__ == "__main__":
    main()
