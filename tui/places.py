"""Where the screen keeps files of its own, in the data folder."""

from __future__ import annotations

from pathlib import Path

from weights.library.paths import data_folder


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
