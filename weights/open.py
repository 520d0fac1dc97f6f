"""Which kind of model lies at a path. Knows nothing of what is in it."""

from __future__ import annotations

from pathlib import Path

from weights.huggingface.checkpoint import Checkpoint
from weights.model_files import ModelFiles
from weights.ollama.manifest import is_manifest


def open_files(path: Path) -> ModelFiles:
    """A directory of the Hugging Face hub, a GGUF file, whatever it is called, or a manifest of Ollama's.

    Raises:
        ModelNotFound: there is neither.
        BadCheckpoint, UnsupportedModel: it is damaged, or of a kind not known here.
    """
    if _is_gguf(path):
        from weights.gguf.file import GgufFile  # its library is not needed for a directory

        return GgufFile(path)
    if is_manifest(path):
        from weights.ollama.model import OllamaModel

        return OllamaModel(path)
    return Checkpoint(path)


def _is_gguf(path: Path) -> bool:
    """By what it begins with, as some programs store it under a number; a damaged one still has its name."""
    if not path.is_file():
        return False
    if path.suffix.lower() == ".gguf":
        return True
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False
