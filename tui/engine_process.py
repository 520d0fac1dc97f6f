"""The engine's own process: requests come in on standard input, answers go out on standard output, pickled.

One thread listens, so that a stop or a changed setting acts on the very next token; the main thread does the work.
Must not know the screen. Torch is imported here and in no other part of the interactive program.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING

from core.errors import LogitscopeError, ModelNotFound
from core.settings import Settings
from tui.protocol import (
    Answer,
    Change,
    Failed,
    Inspect,
    Inspected,
    Load,
    Loading,
    Ready,
    Reply,
    Request,
    Stop,
    Told,
)

if TYPE_CHECKING:
    from core.engine import Engine
    from core.model import Model

_TORCH_SHARE = 0.4  # of the loading bar, before any weight is read


class Inbox:
    """What has been asked for: jobs in order, and the newest word on what acts at once."""

    def __init__(self) -> None:
        self.jobs: SimpleQueue[Load | Reply | Inspect] = SimpleQueue()
        self.settings = Settings()
        self.newest_inspect: Inspect | None = None
        self._newest_reply = 0
        self._stopped_up_to = 0

    def take(self, request: Request) -> None:
        match request:
            case Change(settings):
                self.settings = settings
            case Stop():
                self._stopped_up_to = self._newest_reply
            case Reply():
                self.settings, self._newest_reply = request.settings, request.number
                self.jobs.put(request)
            case Inspect():
                self.newest_inspect = request
                self.jobs.put(request)
            case Load():
                self.jobs.put(request)

    def stopped(self, number: int) -> bool:
        return number <= self._stopped_up_to


class Worker:
    """Carries out one job after another."""

    def __init__(self, inbox: Inbox, send: Callable[[Answer], None]) -> None:
        self._inbox = inbox
        self._send = send

    def run(self) -> None:
        self._send(Loading(fraction=0.0, what="torch"))
        from core.engine import Engine  # seconds; the listener is already awake
        from weights.load import load

        engine: Engine | None = None
        while True:
            job = self._inbox.jobs.get()
            number = job.number if isinstance(job, Reply) else None
            try:
                match job:
                    case Load():
                        engine = None  # the old model's memory first
                        engine = self._load(job, load, Engine)
                    case Reply():
                        self._reply(job, _open(engine))
                    case Inspect() if job is self._inbox.newest_inspect:
                        self._inspect(job, _open(engine))
            except LogitscopeError as error:
                self._send(Failed(message=error.message, hint=error.hint, number=number))
            except MemoryError:
                self._send(Failed(message="There is not enough memory.", hint="Choose a smaller model.", number=number))
            except Exception as error:  # the edge of a process: whatever it is, the person is told and the chat goes on
                traceback.print_exc()
                message = f"The engine failed: {type(error).__name__}: {error}."
                self._send(Failed(message=message, hint="Its log has the details.", number=number))

    def _load(self, job: Load, load: Callable[..., Model], make: Callable[[Model], Engine]) -> Engine:
        def progress(fraction: float, what: str) -> None:
            self._send(Loading(fraction=_TORCH_SHARE + (1 - _TORCH_SHARE) * fraction, what=what))

        model = load(job.model, device=job.device, dtype=job.dtype, context=job.context, on_progress=progress)
        engine = make(model)
        self._send(
            Ready(
                name=model.name,
                device=str(model.device),
                dtype=str(model.dtype).removeprefix("torch."),
                n_parameters=model.n_parameters,
                context_length=model.context_length,
                has_template=model.template is not None,
            )
        )
        return engine

    def _reply(self, job: Reply, engine: Engine) -> None:
        for event in engine.reply(
            job.conversation, lambda: self._inbox.settings, lambda: self._inbox.stopped(job.number)
        ):
            self._send(Told(job.number, event))

    def _inspect(self, job: Inspect, engine: Engine) -> None:
        chosen, drawn, prediction = engine.inspect(job.position, job.settings)
        self._send(Inspected(position=job.position, chosen=chosen, drawn=drawn, prediction=prediction))


def _open(engine: Engine | None) -> Engine:
    if engine is None:
        raise ModelNotFound("No model is open.", "Start again with --model, for example --model bundled.")
    return engine


def _listen(source: IO[bytes], inbox: Inbox) -> None:
    try:
        while True:
            inbox.take(pickle.load(source))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)  # the screen is gone: nobody is left to answer


def main() -> None:
    # Anything that prints would break the stream of answers, so standard output is kept for them alone.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def send(answer: Answer) -> None:
        try:
            pickle.dump(answer, sink, pickle.HIGHEST_PROTOCOL)
            sink.flush()
        except OSError:
            os._exit(0)

    inbox = Inbox()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox), daemon=True).start()
    Worker(inbox, send).run()


if __name__ == "__main__":
    main()
