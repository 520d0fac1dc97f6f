"""The engine's own process: requests come in on standard input, answers go out on standard output, pickled.

One thread listens, so that a stop or a changed setting acts on the very next token; the main thread does the work.
Must not know the screen. Torch is imported here and in no other part of the interactive program.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, NoReturn

from core.errors import LogitscopeError, ModelNotFound
from tui.engines.inbox import Inbox
from tui.engines.open_engine import open_engine
from tui.engines.outbox import Outbox
from tui.engines.protocol import (
    Answer,
    Compiling,
    Failed,
    Inspect,
    Inspected,
    Load,
    Loading,
    LocalInfo,
    ModelInfo,
    Ready,
    Reply,
)
from tui.terminal.restore import SavedTerminal

if TYPE_CHECKING:
    from core.engine import Engine

_TORCH_SHARE = 0.4  # of the loading bar, before any weight is read


class _Unwanted(Exception):
    """The model that is being opened is not wanted any more."""


class Worker:
    """Carries out one job after another, with one model at a time."""

    def __init__(self, inbox: Inbox, send: Callable[[Sequence[Answer]], None]) -> None:
        self._inbox = inbox
        self._send_all = send
        self._engine: Engine | None = None
        self._home: Load | None = None  # what is open, or was: it is opened again if another cannot be
        self._loads = 0  # how many models have been asked for so far
        self._share = _TORCH_SHARE

    def run(self) -> None:
        self._send(Loading(fraction=0.0, what="torch"))  # the first job imports it, which takes seconds
        while True:
            job = self._inbox.jobs.get()
            if isinstance(job, Load):
                self._loads += 1
            self._do(job)
            if isinstance(job, Load):
                self._go_home()

    def _do(self, job: Load | Reply | Inspect) -> None:
        """Carry out a job, or say why it cannot be. Afterwards nothing holds what was made on the way."""
        reply, load = job.number if isinstance(job, Reply) else None, job if isinstance(job, Load) else None
        try:
            match job:
                case Load():
                    self._load(job)
                case Reply():
                    self._reply(job)
                case Inspect() if job is self._inbox.newest_inspect:
                    self._inspect(job)
            return
        except LogitscopeError as error:
            message, hint = error.message, error.hint
        except MemoryError:
            message, hint = "There is not enough memory.", "Choose a smaller model."
        except Exception as error:  # the edge of a process: whatever it is, the person is told and the chat goes on
            traceback.print_exc()
            message, hint = f"The engine failed: {type(error).__name__}: {error}.", "Its log has the details."
        self._send(Failed(message=message, hint=hint, number=reply, load=load))

    def _send(self, answer: Answer) -> None:
        self._send_all([answer])

    # --- models -------------------------------------------------------------------------------------------------------

    def _go_home(self) -> None:
        """Back to the model before, where opening another has failed or was cancelled and no other is waiting."""
        if self._engine is None and self._home is not None and self._loads == self._inbox.newest_load:
            home, self._home = self._home, None  # if that fails too, then no model is open
            self._do(home)

    def _load(self, job: Load) -> None:
        from core.backends.device import release
        from weights.library.names import find

        find(job.model)  # what is not there costs nobody the model that is open
        if self._engine is not None and self._engine.compiler is not None:
            self._engine.compiler.wait()  # it still holds the old model
        self._engine = None  # the old model's memory first
        release()
        with contextlib.suppress(_Unwanted):
            self._open(job, self._loads)
        self._home = self._home or job  # another one was asked for before this first one was open

    def _open(self, job: Load, number: int) -> None:
        def progress(fraction: float, what: str) -> None:
            cancelled = self._inbox.cancelled(number) and self._home is not None  # else there is nothing to go back to
            if cancelled or self._inbox.newest_load > number:
                raise _Unwanted
            self._send(Loading(fraction=self._share + (1 - self._share) * fraction, what=what))

        opened = open_engine(job, on_progress=progress, on_compiling=lambda busy: self._send(Compiling(busy)))
        model = opened.engine.model
        self._engine = opened.engine
        self._home, self._share = job, 0.0
        self._send(
            Ready(
                model=ModelInfo(
                    name=model.name,
                    n_parameters=model.n_parameters,
                    context_length=model.context_length,
                    has_template=model.template is not None,
                    sampling=dict(model.sampling),
                ),
                local=LocalInfo(
                    load=job,
                    device=str(model.device),
                    precision=model.precision,
                    fallback_reason=self._engine.backend.fallback_reason,
                    draft=opened.draft,
                    draft_fallback_reason=opened.draft_fallback_reason,
                ),
            )
        )

    # --- the model that is open ---------------------------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """
        Raises:
            ModelNotFound: no model is open.
        """
        if self._engine is None:
            raise ModelNotFound("No model is open.", "Ctrl+O shows the models that are here.")
        return self._engine

    def _reply(self, job: Reply) -> None:
        engine = self.engine
        outbox = Outbox(job.number, self._send_all, engine.record)
        try:
            for event in engine.tokens(
                job.conversation, lambda: self._inbox.settings, lambda: self._inbox.stopped(job.number)
            ):
                outbox.tell(event)
        finally:
            outbox.flush()

    def _inspect(self, job: Inspect) -> None:
        chosen, drawn, prediction = self.engine.inspect(job.position, job.settings)
        self._send(Inspected(position=job.position, chosen=chosen, drawn=drawn, prediction=prediction))


def _listen(source: IO[bytes], inbox: Inbox, terminal: SavedTerminal | None) -> None:
    try:
        while True:
            inbox.take(pickle.load(source))
    finally:  # the screen is gone, whatever was the last that came of it: nobody is left to answer
        _end(terminal)


def _end(terminal: SavedTerminal | None) -> NoReturn:
    """With the screen's process, which ends this one before it goes unless it is killed: then the terminal is not as it
    was.
    """
    if terminal is not None:
        terminal.restore()
    os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """
    Args:
        arguments: the terminal that the screen draws on, if it does.
    """
    terminal = SavedTerminal.parse(arguments[0]) if arguments else None
    # Anything that prints would break the stream of answers, so standard output is kept for them alone.
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    one_at_a_time = threading.Lock()  # a compiler speaks from a thread of its own

    def send(answers: Sequence[Answer]) -> None:
        try:
            with one_at_a_time:
                pickle.dump(answers, sink, pickle.HIGHEST_PROTOCOL)
                sink.flush()
        except OSError:
            _end(terminal)

    inbox = Inbox()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, inbox, terminal), daemon=True).start()
    Worker(inbox, send).run()


if __name__ == "__main__":
    main(sys.argv[1:])
