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

from tests.bench.limit import Reading
from tests.bench.subjects import LlamaCpp, Ours, Subject, Transformers

COMMON = 200  # tokens of which every tokenizer has at least so many
NEW_TOKENS = 32  # of an answer, and of the message after it


def tokens(count: int) -> list[int]:
    """The text does not matter for the time."""
    return [n * 7 % COMMON for n in range(count)]


class Rounds:
    """What can be asked of a subject. Answers are seconds, unless they say otherwise."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._length = 0

    def decode(self, context: int, steps: int) -> float:
        """Seconds for one token after so many."""
        if self._length < context:
            self._subject.rewind(0)
            self._subject.read(tokens(context))
        self._subject.rewind(context)
        self._subject.write(0)  # so that threads are awake and the cache has room
        seconds = timed(lambda: [self._subject.write(n % COMMON) for n in range(steps)])
        self._length = context
        return seconds / steps

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

        return {"first token": first, "second turn": second, "fork": timed(fork)}

    def logits(self) -> list[float]:
        """What is expected of the first tokens after a short text, read and then written."""
        self._subject.rewind(0)
        self._length = 0
        self._subject.read(tokens(NEW_TOKENS))
        return [float(one) for one in self._subject.write(1)[:COMMON]]

    def memory(self) -> int:
        """The most bytes there ever were."""
        return memory()[1]


class Limit:
    """Not a model: how fast as many bytes as its weights have can be read."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def bandwidth(self) -> float:
        """Bytes per second."""
        return self._reading.speed()


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def memory() -> tuple[int, int]:
    """Bytes this process has in memory, and the most it ever had."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    except OSError:  # the most ever stands for both; on Linux it would count the parent's
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return most, most
    return int(lines["VmRSS"].split()[0]) * 1024, int(lines["VmHWM"].split()[0]) * 1024


def opened(job: dict[str, Any]) -> Rounds | Limit:
    import torch

    torch.set_num_threads(job["threads"])
    if job["kind"] == "limit":
        return Limit(Reading(job["bytes"], job["threads"]))
    path, context = Path(job["path"]), job["context"]
    if job["kind"] == "llama.cpp":
        return Rounds(LlamaCpp(path, context=context, threads=job["threads"], **job["settings"]))
    if job["kind"] == "transformers":
        return Rounds(Transformers(path))
    return Rounds(Ours(path, precision=job["precision"], context=context))


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
    before = memory()[0]
    rounds = opened(job)
    print(json.dumps(before), file=answers, flush=True)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        print(json.dumps(getattr(rounds, name)(*arguments)), file=answers, flush=True)


if __name__ == "__main__":
    main()
