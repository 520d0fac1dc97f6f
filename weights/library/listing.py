"""Which models are on this machine, and whether they can be opened. Must not know torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from weights.fit.available import AvailableMemory
from weights.library.entry import ModelEntry
from weights.library.names import shipped
from weights.library.scan import found_models


def listing(
    folders: Iterable[Path] = (), available: AvailableMemory | None = None, context: int | None = None
) -> list[ModelEntry]:
    """Everything that has a name here, usable or not.

    Args:
        folders: to look into as well, with a single model or several.
        available: where a model would be opened; None leaves out whether it fits.
        context: the tokens of context it shall have; None for as many as fit.
    """
    from weights.library.probe import look  # loads what reads models: the screen calls this beside its own thread

    return [look(model, available, context) for model in (*shipped(), *found_models(folders))]
