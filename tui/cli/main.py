"""Runs the command line; errors and interruptions end with a sentence and an exit code. Must not know torch."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from core.errors import LogitscopeError
from tui.cli import streams
from tui.cli.options import Options, parse
from weights.library.paths import compiled_folder

NOT_WRITTEN, USAGE_ERROR, INTERRUPTED, BROKEN_PIPE = 1, 2, streams.INTERRUPTED, 141  # the last two as a shell has them

_CLOSED = "Standard output is closed. Send it to a file, or to /dev/null where nobody is to read it."


def run(argv: Sequence[str]) -> int:
    """Do what the command line asks. Returns the exit code."""
    # Torch's threads look for work for 15 ms before they sleep, and are in the way of those that decode meanwhile. The
    # library that they come from reads this when torch is loaded, in this process or in the engine's.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    has_output = streams.open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        streams.show_anything(stream)
    try:
        code = _run(argv, has_output)
        sys.stdout.flush()
        return code
    except LogitscopeError as error:
        return _complain(str(error), USAGE_ERROR)
    except BrokenPipeError:
        streams.discard(sys.stdout)
        return BROKEN_PIPE
    except OSError as error:
        streams.discard(sys.stdout)
        what = "Standard output" if error.filename is None else repr(str(error.filename))
        return _complain(f"{what} cannot be written or read: {error.strerror or error}.", NOT_WRITTEN)
    except KeyboardInterrupt:
        streams.discard(sys.stderr)
        print(flush=True)
        return INTERRUPTED


def _run(argv: Sequence[str], has_output: bool) -> int:
    try:
        options = parse(argv)
    except SystemExit:  # after --help or --version, whose text has still to be written
        return 0 if has_output else _complain(_CLOSED, NOT_WRITTEN)
    if options.load.compiled:  # torch reads this, in this process or in the engine's: what is compiled stays
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
    if options.command is None:
        from tui.start import start

        return start(options.load, options.given)  # its driver takes Ctrl+C over; the engine ends with this process
    if not has_output:
        return _complain(_CLOSED, NOT_WRITTEN)
    _command(options)
    return 0


def _command(options: Options) -> None:
    from tui.cli.commands import COMMANDS

    gc.enable()
    if getattr(options.arguments, "action", None) is not None:  # fetching and removing have something to put in order
        streams.raise_when_interrupted()
    COMMANDS[options.command or ""](options)


def _complain(sentence: str, code: int) -> int:
    streams.say(f"logitscope: {sentence}")
    return code
