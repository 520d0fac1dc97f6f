"""Which folders and files on this machine look like models, by their names alone. Must not open a model."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from weights.library import paths as places

Source = Literal["shipped", "downloaded", "Hugging Face", "Ollama", "LM Studio", "folder"]

_DEPTH = 4  # levels below a folder that are looked into
_MOST_FOLDERS = 5_000  # looked into below one folder, so that naming a whole disk ends too
_CHECKPOINT = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", "tokenizer.json")
_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_QUANTISATION = re.compile(
    r"(?:^|[-_.])((?:UD-)?(?:I?Q\d(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|F16|F32))(?=[-_.]|$)", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Something that looks like a model: a checkpoint's directory, or a GGUF file (the first, if it is split)."""

    name: str
    path: Path
    source: Source


def found(folders: Iterable[Path] = ()) -> Iterator[Found]:
    """Every model outside the package. No two have the same name: the second is called by its path.

    Args:
        folders: to look into as well, with a single model or several.
    """
    taken: set[str] = set()
    for one in _everywhere(folders):
        name = one.name if one.name.lower() not in taken else str(one.path)
        if name.lower() not in taken:
            taken.add(name.lower())
            yield Found(name=name, path=one.path, source=one.source)


def _everywhere(folders: Iterable[Path]) -> Iterator[Found]:
    for root in [*folders, *places.named_folders()]:
        for path in models_in(root):
            yield Found(name=str(path), path=path, source="folder")
    yield from _by_owner(places.downloads_folder(), "downloaded")
    for repo in listed(places.huggingface_cache()):
        if repo.name.startswith("models--") and (snapshot := _snapshot(repo)) is not None:
            yield from _of_repo(cached_title(snapshot) or repo.name, snapshot, "Hugging Face")
    for root in places.lmstudio_folders():
        yield from _by_owner(root, "LM Studio")
    for root in places.ollama_folders():
        yield from _ollama(root)


def models_in(root: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """The checkpoints and GGUF files in a folder and below. Links to folders are not followed: they may run in circles.
    Hidden folders are left out."""
    waiting, looked = [(root, 0)], 0
    while waiting and looked < _MOST_FOLDERS:
        folder, level = waiting.pop()
        looked += 1
        entries = listed(folder)
        names = [entry.name for entry in entries if entry.is_file()]
        if "config.json" in names and any(name.endswith(_CHECKPOINT) for name in names):
            yield folder
        yield from (folder / name for name in names if is_model_file(name))
        if level < depth:
            below = [one for one in entries if not one.name.startswith(".") and one.is_dir() and not one.is_symlink()]
            waiting += [(one, level + 1) for one in reversed(below)]


def is_model_file(name: str) -> bool:
    """Whether a GGUF file of this name is a model, or the first part of one: not a later part, nor the eyes of one."""
    split = _SPLIT.fullmatch(name)
    return name.lower().endswith(".gguf") and "mmproj" not in name.lower() and (split is None or int(split[2]) == 1)


def parts_of(name: str) -> list[str]:
    """All files that belong to a GGUF file of this name: itself, or every part of a split one."""
    split = _SPLIT.fullmatch(name)
    if split is None:
        return [name]
    count = min(int(split[3]), 1000)  # a name may say anything
    return [f"{split[1]}-{number:05}-of-{split[3]}.gguf" for number in range(1, count + 1)]


def quantisation_in(name: str) -> str | None:
    """The number format that a file's name tells, such as Q4_K_M."""
    hits = _QUANTISATION.findall(os.path.basename(name).removesuffix(".gguf"))
    return hits[-1].upper() if hits else None


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


def _by_owner(root: Path, source: Source) -> Iterator[Found]:
    """Models in a folder laid out as OWNER/NAME."""
    for owner in listed(root):
        for repo in listed(owner):
            yield from _of_repo(f"{owner.name}/{repo.name}", repo, source)


def _of_repo(repo: str, folder: Path, source: Source) -> Iterator[Found]:
    """The models of one repository: itself where it is a checkpoint, REPO:FILE for each GGUF file."""
    for path in models_in(folder, depth=2):
        inside = path.relative_to(folder).as_posix()
        yield Found(name=repo if inside == "." else f"{repo}:{inside}", path=path, source=source)


def _ollama(root: Path) -> Iterator[Found]:
    """Models of Ollama: a manifest, HOST/OWNER/NAME/TAG, names the blob that is the GGUF file."""
    manifests = root / "manifests"
    for host in listed(manifests):
        for owner in listed(host):
            for model in listed(owner):
                for tag in listed(model):
                    if (blob := _ollama_blob(tag)) is not None:
                        plain = (host.name, owner.name) == ("registry.ollama.ai", "library")
                        place = "" if plain else f"{owner.name}/"
                        place = place if host.name == "registry.ollama.ai" else f"{host.name}/{place}"
                        path = root / "blobs" / f"sha256-{blob}"
                        yield Found(name=f"{place}{model.name}:{tag.name}", path=path, source="Ollama")


def _ollama_blob(manifest: Path) -> str | None:
    """The digest of the layer that holds the weights; None if the manifest names none."""
    try:
        if manifest.stat().st_size > 1_000_000:
            return None
        layers = json.loads(manifest.read_bytes())["layers"]
        digests = [one["digest"] for one in layers if one["mediaType"] == "application/vnd.ollama.image.model"]
        digest = _DIGEST.fullmatch(digests[0])  # anything else could lead out of the folder
    except (OSError, ValueError, KeyError, IndexError, TypeError, RecursionError):
        return None
    return digest[1] if digest else None


def listed(folder: Path) -> list[Path]:
    """What is in a folder and can be shown, by name; nothing if it cannot be listed."""
    try:
        return sorted(one for one in folder.iterdir() if one.name.isprintable())
    except OSError:
        return []
