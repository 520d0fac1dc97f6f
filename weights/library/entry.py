"""One model of the library, as far as can be told without reading its weights. Must not know how that is found out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ModelSource = Literal["shipped", "downloaded", "Hugging Face", "Ollama", "LM Studio", "package", "folder"]


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """One line of the listing. What cannot be told is None."""

    name: str
    path: Path
    source: ModelSource = "folder"
    origin: str | None = None  # what it came in, such as a package and its version
    page: str | None = None  # where that has its home
    licence: str | None = None
    good_for: str | None = None  # what one needs to know to choose, where somebody has tried it
    family: str | None = None
    parameters: int | None = None
    bytes: int | None = None
    quantization: str | None = None
    context: int | None = None
    needs: int | None = None  # bytes of memory to open it, with the context that `fits` tells
    fits: int | None = None  # tokens of context there is memory for; 0 if it does not fit, None if that is not known
    problem: str | None = None  # why it cannot be opened
    note: str | None = None  # what its files say and cannot mean; it opens all the same
