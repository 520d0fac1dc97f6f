"""Holding a subject's process: started with a job, asked in JSON lines. Must not know what the questions mean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

PAUSE = 0.5  # seconds, in which the threads of the one asked before fall asleep; after 0.02 they still cost us 7 %
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Gone(Exception):
    """A process has ended before it answered; says how."""


class Worker:
    """One process of `worker.py`."""

    def __init__(self, name: str, job: dict[str, Any]) -> None:
        """
        Raises:
            Gone: it cannot do the job.
        """
        self.name, self.job = name, job
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115, as long as the process
        libraries = {"LLAMA_CPP_LIB_PATH": job["libraries"]} if job.get("libraries") else {}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env=os.environ | dict.fromkeys(THREADS, str(job["threads"])) | libraries,
        )
        self.memory_before: int = self._answer_to(job)

    def ask(self, *question: object) -> Any:
        """
        Raises:
            Gone: it ended instead.
        """
        time.sleep(PAUSE)
        return self._answer_to(question)

    def close(self) -> None:
        self._process.communicate()
        self._said.close()

    def _answer_to(self, question: object) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            self._said.seek(0)
            last = self._said.read().strip().splitlines()[-1:]
            raise Gone(f"{self.name} ended with {code}{': ' if last else ''}{''.join(last)}")
        return json.loads(line)
