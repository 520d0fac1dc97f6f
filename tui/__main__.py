"""Where `logitscope` starts: the screen when nothing else is asked for, else a headless command.

Imports as little as it can before it knows which: the first frame must not wait for what it does not need.
"""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """The command `logitscope`."""
    gc.disable()  # looking through modules for garbage would be a fifth of the time to the first frame
    try:
        _main()
    except KeyboardInterrupt:  # before or after anybody else has an eye on it
        sys.exit(130)


def _main() -> None:
    try:
        from tui.cli.streams import leave_when_interrupted

        leave_when_interrupted()
        from tui.cli.main import run
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("core", "weights", "tui"):
            raise
        sys.exit(
            f"logitscope: {error}. Another program's package of the same name is in the way: Logitscope is an "
            "application and needs an environment of its own, such as a new venv."
        )
    code = run(sys.argv[1:])
    leave_when_interrupted()  # whoever is asked twice does not complain at the end
    sys.exit(code)


if __name__ == "__main__":
    main()
