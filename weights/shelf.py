"""Which models are on this machine, and where: the two in the package, the Hugging Face cache. Must not know torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.errors import LogitscopeError, ModelNotFound
from weights.keys import show

BUNDLED = Path(__file__).resolve().parent / "bundled"
_OWN = {"bundled": BUNDLED, "textbook": BUNDLED / "textbook"}


@dataclass(frozen=True, kw_only=True)
class ShelfEntry:
    """One model, as far as can be told without reading its weights."""

    name: str
    path: Path
    family: str | None = None
    parameters: int | None = None
    bytes: int | None = None
    context: int | None = None
    problem: str | None = None  # why it cannot be opened


def find(name: str | os.PathLike[str]) -> Path:
    """Where a model lies: "bundled", "textbook", OWNER/NAME of the Hugging Face cache, or a path.

    Raises:
        ModelNotFound: there is none.
    """
    text = os.fspath(name)
    path = os.path.expanduser(text)
    if text in _OWN:
        return _OWN[text]
    if text and os.path.exists(path):  # a file is explained by whoever opens it
        # A file stays where it was found: in a cache it is a link, and the rest of a split one lies beside the link.
        return Path(path).resolve() if os.path.isdir(path) else Path(os.path.abspath(path))
    cached = {title: folder for title, folder in _cached() if title.lower() == text.lower()}
    if cached:
        return cached.get(text) or next(iter(cached.values()))
    raise ModelNotFound(f"There is no model {show(text)}.", _suggestion(text))


def title(folder: Path) -> str:
    """What to call the model in a directory or a file."""
    own = {path: name for name, path in _OWN.items()}
    if folder in own:
        return own[folder]
    if folder.parent.name == "snapshots" and folder.parents[1].name.startswith("models--"):
        return folder.parents[1].name.removeprefix("models--").replace("--", "/")
    return folder.name or str(folder)


def listing(named: str | os.PathLike[str] | None = None) -> list[ShelfEntry]:
    """Everything that has a name here, usable or not; first of all the model that the person named, if it has none."""
    own = [(name, path) for name, path in _OWN.items() if (path / "config.json").is_file()]
    found = [*own, *_cached()]
    if named is not None and os.fspath(named) not in _OWN and (path := find(named)) not in [path for _, path in found]:
        found.insert(0, (title(path), path))
    return [_entry(name, path) for name, path in found]


def _entry(name: str, path: Path) -> ShelfEntry:
    from weights.opening import open_files  # only a listing looks inside; the chat is to start at once

    family = parameters = size = context = None
    problem = None
    try:
        files = open_files(path)
        family = files.kind
        known, config = files.read_config()
        context = config.context_length
        size = files.n_bytes
        twice = {known.head} if config.tied_embeddings else set()
        counted = (name for name in files.tensors if name not in twice and not known.is_ballast(name))
        parameters = sum(files.tensors[name].n_values for name in counted)
        files.check_tokenizer()
    except LogitscopeError as error:
        problem = error.message
    return ShelfEntry(
        name=name, path=path, family=family, parameters=parameters, bytes=size, context=context, problem=problem
    )


def _cache_folder() -> Path:
    """Where the Hugging Face libraries keep what they download (huggingface_hub, environment variables)."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    hub = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or os.path.join(home, "huggingface"), "hub"
    )
    return Path(os.path.expandvars(os.path.expanduser(hub)))


def _cached() -> Iterator[tuple[str, Path]]:
    """The current snapshot of each model in the Hugging Face cache."""
    try:
        repos = sorted(path for path in _cache_folder().glob("models--*") if path.is_dir())
    except OSError:
        return
    for repo in repos:
        if (folder := _snapshot(repo)) is not None:
            yield title(folder), folder


def _snapshot(repo: Path) -> Path | None:
    main = repo / "refs" / "main"
    revision = main.read_text(errors="replace").strip() if main.is_file() else ""
    folders = [config.parent for config in repo.glob("snapshots/*/config.json")]
    return max(folders, key=lambda folder: (folder.name == revision, folder.stat().st_mtime), default=None)


def _suggestion(text: str) -> str:
    import difflib

    names = [name for name, path in _OWN.items() if (path / "config.json").is_file()]
    names += [name for name, _ in _cached()]
    close = difflib.get_close_matches(text.lower(), names, cutoff=0.5)
    ends = [name for name in names if name.lower().endswith("/" + text.lower())]
    if ends or close:
        return f"Did you mean {' or '.join(dict.fromkeys(ends + close))}?"
    known = f"Here there are {', '.join(names)}; or give" if names else "Give"
    return f"{known} the directory of a checkpoint, or a GGUF file."
