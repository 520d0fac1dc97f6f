"""Where models of this machine may lie: our own folder, and those of other programs. Must not know what is in them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from platformdirs import user_cache_path, user_data_path

OLLAMA_SERVICE = Path("/usr/share/ollama/.ollama/models")


def data_folder() -> Path:
    """The folder of what the person owns here, or LOGITSCOPE_DATA; it need not exist yet."""
    chosen = os.environ.get("LOGITSCOPE_DATA")
    return _path(chosen) if chosen else user_data_path("logitscope", appauthor=False)


def downloads_folder() -> Path:
    """Where fetched models go, as OWNER/NAME."""
    return data_folder() / "models"


def compiled_folder() -> Path:
    """Where torch's compiler keeps what it made for a GPU; it can be deleted at any time."""
    return user_cache_path("logitscope", appauthor=False) / "compiled"


def named_folders() -> list[Path]:
    """Folders of models that the person names in LOGITSCOPE_MODELS, written as PATH is."""
    return [_path(folder) for folder in os.environ.get("LOGITSCOPE_MODELS", "").split(os.pathsep) if folder]


def huggingface_cache() -> Path:
    """Where the Hugging Face libraries keep what they download (huggingface_hub 2.4, constants.py).

    A variable that is empty is none: there it would be the folder one happens to stand in.
    """
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")  # the second is its older name
    if not hub:
        home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        hub = os.path.join(os.environ.get("HF_HOME") or os.path.join(home, "huggingface"), "hub")
    return Path(os.path.expandvars(os.path.expanduser(hub)))


def ollama_folders() -> list[Path]:
    """Where Ollama keeps models: for the person, and for the system's service on Linux (Ollama, FAQ)."""
    chosen = os.environ.get("OLLAMA_MODELS")
    if chosen:
        return [_path(chosen)]
    return [_path("~/.ollama/models"), OLLAMA_SERVICE]


def lmstudio_folders() -> list[Path]:
    """Where LM Studio keeps models, today and before version 0.3.9."""
    return [_path("~/.lmstudio/models"), _path("~/.cache/lm-studio/models")]


def package_folders() -> list[Path]:
    """Where the packages of this Python may lie: the folders it imports from, but for the one it was started in."""
    return [Path(folder) for folder in dict.fromkeys(sys.path) if os.path.isabs(folder)]


def _path(text: str) -> Path:
    return Path(os.path.expanduser(text))  # unlike Path.expanduser, leaves the ~ of a person who is not there
