"""Opening the chat: the engine's process first, then the screen, so that torch loads while the first frame is drawn."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadSetting
from core.settings import Settings
from tui.engines.local import ProcessEngine
from tui.engines.protocol import Load
from tui.sanitize import visible
from tui.session.prompt_history import make_private_folder
from tui.terminal.restore import SavedTerminal
from weights.library.names import find, title
from weights.library.paths import data_folder

if TYPE_CHECKING:
    from textual.driver import Driver


def start(load: Load, given: Mapping[str, Any]) -> int:
    """Run the chat until the person leaves it. Returns the exit code.

    Args:
        given: the settings that the person has chosen, by name.

    Raises:
        BadSetting: there is no terminal to draw on.
        ModelNotFound: no such model.
    """
    streams = (sys.stdin, sys.stdout, sys.stderr)  # None: closed
    if not all(stream is not None and stream.isatty() for stream in streams):  # Textual draws on the last
        raise BadSetting("The chat needs a terminal.", 'In a pipe, use: logitscope ask "PROMPT".')
    if os.environ.get("TERM") == "dumb":
        raise BadSetting(
            "The chat needs a terminal that it can draw on, and TERM is 'dumb'.",
            'Without drawing: logitscope ask "PROMPT".',
        )
    name = title(find(load.model))
    engine = ProcessEngine(load, log_file(), SavedTerminal.of(sys.stdin))
    try:
        from tui.app import LogitscopeApp  # while the engine's process imports torch

        app = LogitscopeApp(
            engine,
            Settings(**given),
            model=name,
            load=load,
            given=given,
            when_shown=_collect_garbage,
            driver_class=_driver(engine),
        )
        app.run()
    finally:
        engine.close()
    if app.failure is not None:
        _report(app.failure)
    return app.return_code or 0


def _report(failure: Exception) -> None:
    """One sentence for the person, and the rest for whoever is to mend it."""
    import traceback

    print(
        f"logitscope: The screen failed: {type(failure).__name__}: {visible(str(failure))}.", end=" ", file=sys.stderr
    )
    log = _file("screen.log")
    if log is not None:
        with log.open("a", encoding="utf-8", errors="replace") as file:
            traceback.print_exception(failure, file=file)
        print(f"The details are in {log}.", file=sys.stderr)
    else:
        print("Starting it again may help.", file=sys.stderr)


def _driver(engine: ProcessEngine) -> type[Driver] | None:
    """What reads and writes the terminal; None: Textual chooses."""
    from textual import constants

    if sys.platform == "win32" or constants.DRIVER:
        return None
    from tui.terminal.driver import terminal_driver

    return terminal_driver(engine.close)


def _collect_garbage() -> None:
    """From now on. What is there already stays, and is not to be looked through again in the middle of an answer."""
    gc.freeze()
    gc.enable()


def log_file() -> Path | None:
    """Where the engine's process writes what went wrong; None where nothing can be written."""
    return _file("engine.log")


def _file(name: str) -> Path | None:
    folder = data_folder()
    try:
        make_private_folder(folder)
        path = folder / name
        path.touch(mode=0o600)
    except OSError:
        return None
    return path
