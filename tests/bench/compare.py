"""Ours, llama.cpp and transformers on the same weights, in turns on one machine; read the ratios.

    python -m tests.bench.compare [--shapes NAME ...] [--precisions bf16 int8 int4] [--json FILE] [--markdown FILE]

Rounds alternate (A B C, B C A, ...), so that whatever else the machine does falls on all. Must not know how a subject
does what it is asked, nor how a table looks.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench import gguf_files, report, shapes
from tests.bench.limit import cache_bytes
from tests.bench.remote import Gone, Worker
from tests.bench.report import PEERS, Measurement
from weights.fit.requirement import requirement_of
from weights.library.names import find
from weights.open import open_files

PEER_KIND = {"bf16": "bf16", "int8": "q8_0", "int4": "q4_0"}
# Cosine of logits from which on two have run the same model. Rounding spares nothing in random weights: at 1B, 4 bits
# reach 0.76 against 16. At bf16 it notices heads whose channels are turned in the wrong order (0.997).
ALIKE = {"bf16": 0.999, "int8": 0.99, "int4": 0.5}
PREFILL = 512
TURNS = 3  # what a chat is measured by
BUFFER = 10**9  # bytes at most: caches are smaller
TRIALS = 3  # of which the best counts where llama.cpp's settings are compared


class Group:
    """One model in one precision on so many threads, opened by everyone, and everything measured of it."""

    def __init__(self, name: str, precision: str, threads: int, asked: argparse.Namespace) -> None:
        self.about: dict[str, Any] = {"shape": name, "precision": precision, "threads": threads}
        self._asked = asked
        self._folder = shapes.directory(name, asked.cache)
        files = open_files(find(self._folder))
        layout, self._config = files.read_config()
        if "llama.cpp" in asked.subjects:
            self._file = shapes.gguf_file(name, asked.cache, PEER_KIND[precision])
            self._weight_bytes = gguf_files.weight_bytes(self._file)
        else:
            need = requirement_of(self._config, layout.count_parameters(files.tensors, self._config))
            self._weight_bytes = (need if precision == "bf16" else need.quantized(precision)).weights("bfloat16")
        limit = self._config.context_length
        self._contexts = sorted({min(context, limit - asked.steps - 1) for context in asked.contexts})
        self._room = min(limit, max(*self._contexts, PREFILL) + asked.steps + 64)
        self.notes: list[str] = []
        self._found: dict[tuple[str, str], Measurement] = {}

    def run(self) -> list[Measurement]:
        with ExitStack() as stack:
            workers = self._open_all(stack)
            for context in self._contexts:
                self._decode(workers, context)
            readers = {name: worker for name, worker in workers.items() if reads(worker.job)}
            self._alternate(
                f"prefill {PREFILL}", "tokens/s", readers, ("prefill", PREFILL), lambda seconds: PREFILL / seconds
            )
            self._turns(readers)
            self._memory(workers)
        return list(self._found.values())

    def _open_all(self, stack: ExitStack) -> dict[str, Worker]:
        """Everyone who can, and who computes what the first of them does."""
        ours = {"kind": "ours", "path": str(self._folder), "precision": self.about["precision"]}
        jobs = {"ours": ours | {"compiled": False}}
        if self._asked.device != "cpu":
            jobs["ours compiled"] = ours | {"compiled": True}
        if "llama.cpp" in self._asked.subjects:
            jobs |= self._peer_jobs()
        if "transformers" in self._asked.subjects and self.about["precision"] == "bf16":
            for name, static in (("transformers", False), ("transformers static, compiled", True)):
                if not static or self._asked.device != "cpu" or self._asked.static:
                    jobs[name] = {"kind": "transformers", "path": str(self._folder), "static": static}
        workers = {"limit": self._open("limit", {"kind": "limit", "bytes": min(self._weight_bytes, BUFFER)}, stack)}
        wanted = None
        for name, job in jobs.items():
            try:
                worker = self._open(name, job, stack)
                logits = worker.ask("logits")
            except Gone as gone:
                self.notes.append(str(gone))
                continue
            wanted = wanted or logits
            likeness = cosine(wanted, logits)
            if likeness < ALIKE[self.about["precision"]]:
                raise SystemExit(f"{name} has not run the model the others have: cosine of logits {likeness:.4f}")
            workers[name] = worker
        return workers

    def _open(self, name: str, job: dict[str, Any], stack: ExitStack) -> Worker:
        common = {"threads": self.about["threads"], "context": self._room, "device": self._asked.device}
        worker = Worker(name, job | common)
        stack.callback(worker.close)
        return worker

    def _peer_jobs(self) -> dict[str, dict[str, Any]]:
        """llama.cpp with the settings that are fastest here at any of the things measured, by its names."""
        best: dict[int, tuple[float, str]] = {}
        jobs: dict[str, dict[str, Any]] = {}
        builds = ["", *([str(self._asked.libraries)] if self._asked.libraries else [])]
        for build, repack, flash in product(builds, (False, True), (False, True)):
            for batch in (PREFILL, 1):
                settings = {"repack": repack, "flash": flash, "batch": batch}
                job = {"kind": "llama.cpp", "path": str(self._file), "settings": settings, "libraries": build}
                name = show(job)
                jobs[name] = job
                try:
                    times = self._try(name, jobs[name])
                except Gone as gone:  # where AMX takes the weights, texts of more than one token crash
                    self.notes.append(str(gone))
                    continue
                for at, seconds in enumerate(times):
                    best[at] = min(best.get(at, (math.inf, "")), (seconds, name))
                break
        return {name: jobs[name] for name in sorted({name for _, name in best.values()})}

    def _try(self, name: str, job: dict[str, Any]) -> list[float]:
        """Seconds for everything measured, but for reading a text where that goes one token at a time."""
        questions: list[tuple[object, ...]] = [("decode", context, 8) for context in self._contexts]
        if reads(job):
            questions.append(("prefill", PREFILL))
        with ExitStack() as stack:
            worker = self._open(name, job, stack)
            return [min(worker.ask(*question) for _ in range(TRIALS)) for question in questions]

    def _decode(self, workers: dict[str, Worker], context: int) -> None:
        steps = self._asked.steps
        per_token = self._weight_bytes + cache_bytes(self._config, context + steps // 2)
        measure = f"decode at {context}"
        self._alternate(
            measure, "tokens/s", workers, ("decode", context, steps), lambda seconds: 1 / seconds, per_token=per_token
        )

    def _turns(self, workers: dict[str, Worker]) -> None:
        for _ in range(TURNS):
            for name, worker in workers.items():
                for what, seconds in worker.ask("turns", PREFILL).items():
                    self._note(f"{what} ({PREFILL})", "ms", name, seconds * 1000)

    def _memory(self, workers: dict[str, Worker]) -> None:
        """The peak above what the libraries take, beside weights and a cache in 16 bits for the longest text read."""
        longest = max(*self._contexts, PREFILL) + self._asked.steps + 1
        self._note("memory", "MB", "limit", (self._weight_bytes + cache_bytes(self._config, longest)) / 1e6)
        for name, worker in workers.items():
            if name != "limit":
                self._note("memory", "MB", name, (worker.ask("memory") - worker.memory_before) / 1e6)

    def _alternate(
        self,
        measure: str,
        unit: str,
        workers: dict[str, Worker],
        question: Sequence[object],
        rate: Callable[[float], float],
        *,
        per_token: int = 0,
    ) -> None:
        """A round of everyone to warm up, then those that count. The limit is that of `per_token` bytes."""
        everyone = list(workers)
        for number in range(-1, self._asked.rounds):
            turn = number % len(everyone)
            for name in everyone[turn:] + everyone[:turn]:
                if name == "limit":
                    value = workers[name].ask("bandwidth") / per_token
                else:
                    value = rate(workers[name].ask(*question))
                if number >= 0:
                    self._note(measure, unit, name, value)

    def _note(self, measure: str, unit: str, subject: str, value: float) -> None:
        measurement = Measurement(**self.about, measure=measure, unit=unit, subject=subject)
        self._found.setdefault((measure, subject), measurement).values.append(value)


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    return float(np.dot(one, other) / (np.linalg.norm(one) * np.linalg.norm(other)))


def reads(job: dict[str, Any]) -> bool:
    """Whether a text is read many tokens at a time, so that reading can be measured."""
    return job["kind"] != "limit" and not ("settings" in job and job["settings"]["batch"] == 1)


def show(job: dict[str, Any]) -> str:
    """A name that tells llama.cpp's settings."""
    settings = job["settings"]
    words = [name for name in ("repack", "flash") if settings[name]] or ["plain"]
    words += ["singly"] if settings["batch"] == 1 else []
    words += ["other build"] if job["libraries"] else []
    return f"llama.cpp {', '.join(words)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", nargs="+", choices=shapes.NAMES, default=list(shapes.NAMES))
    parser.add_argument("--precisions", nargs="+", choices=list(PEER_KIND), default=["bf16"])
    parser.add_argument("--device", default="cpu", help="where everybody computes: cpu (default) or cuda")
    parser.add_argument("--threads", nargs="+", type=int, help="of the processor: 1 and 2, or for a GPU 1")
    parser.add_argument("--contexts", nargs="+", type=int, default=[128, 1024], help="tokens already read")
    parser.add_argument("--subjects", nargs="*", choices=PEERS, help="beside us: both, or for a GPU transformers")
    parser.add_argument(
        "--static", action="store_true", help="transformers with its static cache, compiled, too; a GPU always has it"
    )
    parser.add_argument(
        "--libraries", type=Path, help="a folder of llama.cpp's libraries, to try beside those installed"
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=64, help="tokens written in a round")
    parser.add_argument("--cache", type=Path, default=shapes.default_cache(), help="where the models are kept")
    parser.add_argument("--json", type=Path, help="write every single value there")
    parser.add_argument("--markdown", type=Path, help="write the table there")
    asked = parser.parse_args()
    on_cpu = asked.device == "cpu"
    asked.threads = asked.threads or ([1, 2] if on_cpu else [1])
    asked.subjects = list(PEERS if on_cpu else PEERS[1:]) if asked.subjects is None else asked.subjects
    found: list[Measurement] = []
    notes: list[str] = []
    for name in asked.shapes:
        for precision in asked.precisions:
            for threads in asked.threads:
                print(f"{name} {precision}, {threads} threads ...", file=sys.stderr, flush=True)
                group = Group(name, precision, threads, asked)
                found += group.run()
                notes += [f"{name} {precision}, {threads} threads: {note}" for note in group.notes]
                report.write(found, notes, to_json=asked.json, to_markdown=asked.markdown)
    print(report.table(found, notes))


if __name__ == "__main__":
    main()
