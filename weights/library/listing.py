"""Which models are on this machine, what they are called, and whether they can be opened. Must not know torch."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from core.errors import ModelNotFound
from weights.fit.available import AvailableMemory
from weights.library import scan
from weights.library.scan import Source
from weights.untrusted.checked_json import show

BUNDLED = Path(__file__).resolve().parents[1] / "bundled"
_OWN = {"bundled": BUNDLED, "textbook": BUNDLED / "textbook"}


@dataclass(frozen=True, kw_only=True)
class ShelfEntry:
    """One model, as far as can be told without reading its weights."""

    name: str
    path: Path
    source: Source = "folder"
    family: str | None = None
    parameters: int | None = None
    bytes: int | None = None
    quantisation: str | None = None
    context: int | None = None
    needs: int | None = None  # bytes of memory to open it, with the context that `fits` tells
    fits: int | None = None  # tokens of context there is memory for; 0 if it does not fit, None if that is not known
    problem: str | None = None  # why it cannot be opened


def find(name: str | os.PathLike[str]) -> Path:
    """The directory or GGUF file of a model.

    Args:
        name: "bundled", "textbook", a name in the listing (its part before the colon is enough where only one model
            has it, a quantisation after the colon will do), or a path.

    Raises:
        ModelNotFound: there is none, or more than one.
    """
    text = os.fspath(name)
    path = os.path.expanduser(text)
    if text in _OWN:
        return _OWN[text]
    if text and os.path.exists(path):  # a file is explained by whoever opens it
        # A link stays one: in a cache a file is one, and the rest of a split model lies beside it.
        return _only_one_in(Path(os.path.abspath(path)))
    named = _named(text)
    if len(named) == 1:
        return named[0].path
    if named:
        several = ", ".join(one.name for one in named[:8])
        raise ModelNotFound(f"There are {len(named)} models that {show(text)} could be.", f"Choose one of {several}.")
    raise ModelNotFound(f"There is no model {show(text)}.", _suggestion(text))


def is_shipped(path: Path) -> bool:
    """Whether it came with Logitscope."""
    return path in _OWN.values()


def title(path: Path) -> str:
    """What to call the model at a path."""
    own = {path: name for name, path in _OWN.items()}
    if path in own:
        return own[path]
    if (cached := scan.cached_title(path)) is not None:
        return cached
    known = (one.name for one in scan.found() if one.path == path and one.source != "folder")
    return next(known, None) or path.name or str(path)


def listing(
    folders: Iterable[Path] = (), room: AvailableMemory | None = None, context: int | None = None
) -> list[ShelfEntry]:
    """Everything that has a name here, usable or not.

    Args:
        folders: to look into as well, with a single model or several.
        room: where a model would be opened; None leaves out whether it fits.
        context: the tokens of context it shall have; None for as many as fit.
    """
    from weights.library.probe import look  # only a listing looks inside; the chat is to start at once

    own = [(name, path) for name, path in _OWN.items() if (path / "config.json").is_file()]
    found = [scan.Found(name=name, path=path, source="shipped") for name, path in own]
    return [look(one, room, context) for one in [*found, *scan.found(folders)]]


def _only_one_in(path: Path) -> Path:
    """A path as it is, but for a folder that is no checkpoint and holds others: the one, or which there are."""
    if not path.is_dir() or (path / "config.json").is_file():
        return path
    inside = list(scan.models_in(path))
    if len(inside) > 1:
        several = ", ".join(str(one) for one in inside[:8])
        raise ModelNotFound(f"{path} holds {len(inside)} models.", f"Choose one of {several}.")
    return inside[0] if inside else path


def _named(text: str) -> list[scan.Found]:
    """The models of a name: exactly, in any case of letters, by the part before the colon, by the quantisation."""
    everything = list(scan.found())
    low = text.lower()
    repo, _, tag = low.partition(":")

    def wants(found: scan.Found) -> bool:
        return found.name.lower().startswith(f"{repo}:") and (scan.quantisation_in(found.name) or "").lower() == tag

    return (
        [one for one in everything if one.name == text]
        or [one for one in everything if one.name.lower() in (low, f"{low}:latest")]  # as Ollama reads it
        or [one for one in everything if one.name.lower().startswith(f"{low}:")]
        or [one for one in everything if tag and wants(one)]
    )


def _suggestion(text: str) -> str:
    import difflib

    names = [name for name, path in _OWN.items() if (path / "config.json").is_file()]
    names += [one.name for one in scan.found()]
    close = difflib.get_close_matches(text.lower(), names, cutoff=0.5)
    ends = [name for name in names if name.lower().endswith("/" + text.lower())]
    if ends or close:
        return f"Did you mean {' or '.join(dict.fromkeys(ends + close))}?"
    known = f"Here there are {', '.join(names[:20])}; or give" if names else "Give"
    return f"{known} the directory of a checkpoint, or a GGUF file."
