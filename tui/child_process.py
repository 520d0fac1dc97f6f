"""Starting a process of our own that is spoken to over its standard input and output. Must not know what it does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO


def start_child(
    module: str, *arguments: str, errors: IO[bytes] | int = subprocess.DEVNULL, files: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Run a module of ours with this interpreter.

    Args:
        errors: where its standard error goes.
        files: that it has besides, by the same numbers.
    """
    root = str(Path(__file__).resolve().parent.parent)
    # -P: a folder called "core" where the person happens to stand must not be taken for ours.
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).strip(os.pathsep)
    }
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        pass_fds=files,
        start_new_session=os.name == "posix",  # Ctrl-C on the terminal is the screen's business
    )
