"""Runs the command line; errors and interruptions end with a sentence and an exit code. Must not know torch."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence

from core.errors import LogitscopeError
from tui.cli.options import parse
from weights.library.paths import compiled_folder

USAGE_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # the shell's own numbers


def run(argv: Sequence[str]) -> int:
    """Do what the command line asks. Returns the exit code."""
    # Torch's threads look for work for 15 ms before they sleep, and are in the way of those that decode meanwhile. The
    # library that they come from reads this when torch is loaded, in this process or in the engine's.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character shows ?, and does not fail
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        options = parse(argv)
        if options.load.compiled:  # torch reads this, in this process or in the engine's: what is compiled stays
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
        if options.command is None:
            from tui.start import start

            return start(options.load, options.given)
        from tui.cli.commands import COMMANDS

        gc.enable()
        COMMANDS[options.command](options)
        sys.stdout.flush()
    except LogitscopeError as error:
        return _complain(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print(flush=True)
        return INTERRUPTED
    return 0


def _complain(sentence: str) -> int:
    print(f"logitscope: {sentence}", file=sys.stderr)
    return USAGE_ERROR
