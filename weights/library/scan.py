"""Which folders and files on this machine look like models, by their names alone. Must not open a model."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from weights.gguf.names import is_model_file
from weights.library import paths
from weights.library.entry import ModelSource
from weights.library.packages import packaged_models
from weights.ollama.manifest import read_manifest

SHIPPED_NAMES = ("bundled", "textbook")
_MAX_DEPTH = 4  # levels below a folder that are looked into
_MAX_FOLDERS = 5_000  # looked into below one folder, so that naming a whole disk ends too
_CHECKPOINT = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", "tokenizer.json")


@dataclass(frozen=True, kw_only=True)
class FoundModel:
    """Something that looks like a model: a checkpoint's directory, or a GGUF file (the first, if it is split)."""

    name: str
    path: Path
    source: ModelSource
    origin: str | None = None  # what it came in; see `ModelEntry`
    page: str | None = None
    licence: str | None = None


def found_models(folders: Iterable[Path] = ()) -> Iterator[FoundModel]:
    """Every model outside the package. No two have the same name: the second is called by its path.

    Args:
        folders: to look into as well, with a single model or several.
    """
    taken: set[str] = set(SHIPPED_NAMES)
    for model in _everywhere(folders):
        name = model.name if model.name.lower() not in taken else str(model.path)
        if name.lower() not in taken:
            taken.add(name.lower())
            yield replace(model, name=name)


def _everywhere(folders: Iterable[Path]) -> Iterator[FoundModel]:
    for root in [*folders, *paths.named_folders()]:
        for path in models_in(root):
            yield FoundModel(name=str(path), path=path, source="folder")
    for packaged in packaged_models(paths.package_folders()):
        yield FoundModel(**vars(packaged), source="package")
    yield from _by_owner(paths.downloads_folder(), "downloaded")
    for repo in listed(paths.huggingface_cache()):
        if repo.name.startswith("models--") and (snapshot := _snapshot(repo)) is not None:
            yield from _of_repo(cached_title(snapshot) or repo.name, snapshot, "Hugging Face")
    for root in paths.lmstudio_folders():
        yield from _by_owner(root, "LM Studio")
    for root in paths.ollama_folders():
        yield from _ollama(root)


def models_in(root: Path, depth: int = _MAX_DEPTH) -> Iterator[Path]:
    """The checkpoints and GGUF files in a folder and below. Hidden folders are left out.

    Links to folders come last, and no folder is looked into twice: they may run in circles. One that leads
    back up is not followed, as what is there was not asked for.
    """
    waiting, linked, seen = [(root, 0)], deque[tuple[Path, int]](), set[str]()
    while (waiting or linked) and len(seen) < _MAX_FOLDERS:
        folder, level = waiting.pop() if waiting else linked.popleft()
        place = os.path.realpath(folder)
        if place in seen or (folder.is_symlink() and level and _is_above(Path(place), folder)):
            continue
        seen.add(place)
        entries = listed(folder)
        names = [entry.name for entry in entries if entry.is_file()]
        if "config.json" in names and any(name.endswith(_CHECKPOINT) for name in names):
            yield folder
        yield from (folder / name for name in names if is_model_file(name))
        if level < depth:
            below = [entry for entry in entries if not entry.name.startswith(".") and entry.is_dir()]
            waiting += [(entry, level + 1) for entry in reversed(below) if not entry.is_symlink()]
            linked += [(entry, level + 1) for entry in below if entry.is_symlink()]


def _is_above(place: Path, link: Path) -> bool:
    """Whether a link leads to a folder that it lies in itself."""
    return Path(os.path.realpath(link.parent)).is_relative_to(place)


def cached_title(snapshot: Path) -> str | None:
    """OWNER/NAME of a snapshot's directory in the Hugging Face cache; None elsewhere."""
    if snapshot.parent.name != "snapshots" or not snapshot.parents[1].name.startswith("models--"):
        return None
    return snapshot.parents[1].name.removeprefix("models--").replace("--", "/")


def _snapshot(repo: Path) -> Path | None:
    """The newest snapshot that holds a model; the one main stands for before all others."""
    main = repo / "refs" / "main"
    try:
        revision = main.read_text(errors="replace").strip()
    except OSError:
        revision = ""
    holding = [folder for folder in listed(repo / "snapshots") if next(models_in(folder), None) is not None]
    return max(holding, key=lambda folder: (folder.name == revision, folder.stat().st_mtime), default=None)


def _by_owner(root: Path, source: ModelSource) -> Iterator[FoundModel]:
    """Models in a folder laid out as OWNER/NAME."""
    for owner in listed(root):
        for repo in listed(owner):
            yield from _of_repo(f"{owner.name}/{repo.name}", repo, source)


def _of_repo(repo: str, folder: Path, source: ModelSource) -> Iterator[FoundModel]:
    """The models of one repository: itself where it is a checkpoint, REPO:FILE for each GGUF file."""
    for path in models_in(folder, depth=2):
        inside = path.relative_to(folder).as_posix()
        yield FoundModel(name=repo if inside == "." else f"{repo}:{inside}", path=path, source=source)


def _ollama(root: Path) -> Iterator[FoundModel]:
    """Models of Ollama: a manifest, HOST/OWNER/NAME/TAG, is one. Several may share a file of weights."""
    manifests = root / "manifests"
    for host in listed(manifests):
        for owner in listed(host):
            for model in listed(owner):
                for tag in listed(model):
                    if read_manifest(tag) is not None:
                        plain = (host.name, owner.name) == ("registry.ollama.ai", "library")
                        place = "" if plain else f"{owner.name}/"
                        place = place if host.name == "registry.ollama.ai" else f"{host.name}/{place}"
                        yield FoundModel(name=f"{place}{model.name}:{tag.name}", path=tag, source="Ollama")


def listed(folder: Path) -> list[Path]:
    """What is in a folder and can be shown, by name; nothing if it cannot be listed."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.isprintable())
    except OSError:
        return []
