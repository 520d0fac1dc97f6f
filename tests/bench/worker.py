"""A process in which one subject is kept warm and does a round whenever it is asked to: JSON lines in, JSON lines out.

Started by `compare.py`. A process each, so that thread settings, memory and crashes are a subject's own.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.limit import DeviceReading, Reading
from tests.bench.subjects import LlamaCpp, Ours, StaticTransformers, Subject, Transformers

COMMON = 200  # tokens of which every tokenizer has at least so many
NEW_TOKENS = 32  # of an answer, and of the message after it


def tokens(count: int) -> list[int]:
    """The text does not matter for the time."""
    return [n * 7 % COMMON for n in range(count)]


class Rounds:
    """What can be asked of a subject. Answers are seconds, unless they say otherwise."""

    def __init__(self, subject: Subject, device: str) -> None:
        self._subject = subject
        self._device = device
        self._length = 0

    def decode(self, context: int, steps: int) -> float:
        """Seconds for one token after so many."""
        if self._length < context:
            self._subject.rewind(0)
            self._subject.read(tokens(context))
        self._warm(context)
        seconds = timed(lambda: self._write(steps))
        self._length = context
        return seconds / steps

    def _write(self, steps: int) -> None:
        """No logits are kept: memory is measured, too."""
        for n in range(steps):
            self._subject.write(n % COMMON)

    def _warm(self, context: int) -> None:
        """A token after so many, so that threads are awake and the cache has room; more while something is made."""
        while True:
            self._subject.rewind(context)
            self._subject.write(0)
            if not self._subject.settle():
                return

    def prefill(self, count: int) -> float:
        """Seconds for reading a text anew."""
        self._subject.rewind(0)
        self._length = 0
        return timed(lambda: self._subject.read(tokens(count)))

    def turns(self, count: int) -> dict[str, float]:
        """A chat: to the first token of an answer, of the next answer, and of another one from the middle of a text."""
        self._subject.rewind(0)
        self._length = 0
        text = tokens(count)
        first = timed(lambda: self._subject.read(text))
        for n in range(NEW_TOKENS):
            self._subject.write(n % COMMON)
            text.append(n % COMMON)
        known = len(text)
        text += tokens(NEW_TOKENS)
        second = timed(lambda: self._subject.take_up(text, known))

        def fork() -> None:
            self._subject.rewind(count // 2)
            self._subject.write(1)

        forked = timed(fork)
        self._subject.settle()  # or it would disturb the next one who is asked
        return {"first token": first, "second turn": second, "fork": forked}

    def logits(self) -> list[float]:
        """What is expected of the first tokens after a short text, read and then written."""
        self._subject.rewind(0)
        self._length = 0
        self._subject.read(tokens(NEW_TOKENS))
        found = [float(one) for one in self._subject.write(1)[:COMMON]]
        self._subject.settle()
        return found

    def memory(self) -> int:
        """The most bytes there ever were."""
        return memory(self._device)[1]


class Limit:
    """Not a model: how fast as many bytes as its weights have can be read."""

    def __init__(self, reading: Reading | DeviceReading) -> None:
        self._reading = reading

    def bandwidth(self) -> float:
        """Bytes per second."""
        return self._reading.speed()


def timed(work: Callable[[], Any]) -> float:
    """Seconds. Whatever a subject gives is on the CPU, so a GPU has done its work for it."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory(device: str) -> tuple[int, int]:
    """Bytes this process has in memory, and the most it ever had; of a GPU's, if it uses one."""
    if device != "cpu":
        import torch

        return torch.cuda.memory_allocated(device), torch.cuda.max_memory_allocated(device)
    try:
        lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    except OSError:  # the most ever stands for both; on Linux it would count the parent's
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return most, most
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["VmHWM"].split()[0]) * 1024


def opened(job: dict[str, Any]) -> Rounds | Limit:
    import torch

    torch.set_num_threads(job["threads"])
    device = job["device"]
    if job["kind"] == "limit":
        n_bytes = job["bytes"]
        return Limit(Reading(n_bytes, job["threads"]) if device == "cpu" else DeviceReading(n_bytes, device))
    path, context = Path(job["path"]), job["context"]
    subject: Subject
    if job["kind"] == "llama.cpp":
        subject = LlamaCpp(path, context=context, threads=job["threads"], device=device, **job["settings"])
    elif job["kind"] == "transformers":
        static = StaticTransformers(path, device=device, context=context) if job["static"] else None
        subject = static or Transformers(path, device=device)
    else:
        subject = Ours(path, precision=job["precision"], context=context, device=device, compiled=job["compiled"])
    return Rounds(subject, device)


def load_libraries(kind: str) -> None:
    """What a program of this kind has in memory before it opens a model."""
    import torch  # noqa: F401

    if kind == "llama.cpp":
        import llama_cpp  # noqa: F401
    elif kind == "transformers":
        from transformers import AutoModelForCausalLM  # noqa: F401
    elif kind == "ours":
        import weights.load  # noqa: F401


def main() -> None:
    """The first line is the job; the answer to it is the memory that was taken before it was done."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    job = json.loads(sys.stdin.readline())
    load_libraries(job["kind"])
    before = memory(job["device"])[0]
    rounds = opened(job)
    print(json.dumps(before), file=answers, flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(rounds, name)(*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
