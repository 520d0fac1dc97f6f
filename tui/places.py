"""Where files of the person's own live: the data folder of the platform, or LOGITSCOPE_DATA."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_data_path


def data_folder() -> Path:
    """The folder; it need not exist yet."""
    chosen = os.environ.get("LOGITSCOPE_DATA")
    return Path(chosen).expanduser() if chosen else user_data_path("logitscope", appauthor=False)


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
