"""Opening the chat: the engine's process first, then the screen, so that torch loads while the first frame is drawn."""

from __future__ import annotations

import gc
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import BadSetting
from core.settings import Settings
from tui.engines.local import ProcessEngine
from tui.engines.protocol import Load
from weights.library.names import find, title
from weights.library.paths import data_folder


def start(load: Load, given: Mapping[str, Any]) -> int:
    """Run the chat until the person leaves it. Returns the exit code.

    Args:
        given: the settings that the person has chosen, by name.

    Raises:
        BadSetting: there is no terminal to draw on.
        ModelNotFound: no such model.
    """
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):  # Textual draws on the last
        raise BadSetting("The chat needs a terminal.", 'In a pipe, use: logitscope ask "PROMPT".')
    name = title(find(load.model))
    engine = ProcessEngine(load, log_file())
    try:
        from tui.app import LogitscopeApp  # while the engine's process imports torch

        settings = Settings(**given)
        LogitscopeApp(engine, settings, model=name, load=load, given=given, when_shown=_collect_garbage).run()
    finally:
        engine.close()
    return 0


def _collect_garbage() -> None:
    """From now on. What is there already stays, and is not to be looked through again in the middle of an answer."""
    gc.freeze()
    gc.enable()


def log_file() -> Path | None:
    """Where the engine's process writes what went wrong; None where nothing can be written."""
    folder = data_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "engine.log"
        path.touch()
    except OSError:
        return None
    return path
