"""Removing models that were fetched from the hub, and saying why others are not. Must not know the network."""

from __future__ import annotations

import shutil
from pathlib import Path

from core.errors import BadSetting, DownloadFailed
from weights.library import paths, scan
from weights.library.download_record import Record, files_of, repository_of, tidy
from weights.library.names import find, is_shipped, title
from weights.untrusted.checked_json import show

_NOT_OURS = {  # by where a model lies: why it stays, and who can remove it
    "shipped": ("came with Logitscope and is not removed", "Choose one that was fetched: logitscope models."),
    "Hugging Face": ("lies in the cache of Hugging Face", "Remove it there: hf cache rm model/{repo}."),
    "Ollama": ("belongs to Ollama", "Remove it there: ollama rm {name}."),
    "LM Studio": ("belongs to LM Studio", "Remove it there, under My Models."),
    "package": (
        "came in a package of Python's",
        "Remove that with the pip of its environment: pip uninstall {package}.",
    ),
    "folder": ("was not fetched by Logitscope", "Remove it yourself if you are sure."),
}


def to_remove(name: str) -> tuple[str, int]:
    """What `remove` would remove: its full name and its bytes.

    Raises:
        ModelNotFound: there is none of that name.
        BadSetting: it is not ours to remove.
    """
    path, repo = _ours(name)
    files = [file for file in repo.rglob("*") if file.is_file()] if path is None else _present(path, repo)
    full_name = title(path) if path is not None else f"{repo.parent.name}/{repo.name}"
    return full_name, sum(file.stat().st_size for file in files)


def remove(name: str) -> None:
    """Remove a model that we downloaded.

    Raises:
        ModelNotFound, BadSetting: see `to_remove`.
        DownloadFailed: the disk does not let us.
    """
    path, repo = _ours(name)
    try:
        if path is None:
            shutil.rmtree(repo)
        else:
            Record.of(repo).drop(files_of(path, repo))
        tidy(repo)
    except OSError as error:
        raise DownloadFailed(f"{error.filename or repo} cannot be removed: {error.strerror}.") from error


def _ours(name: str) -> tuple[Path | None, Path]:
    """The GGUF file to remove, or None for all of its repository; and the folder of the repository."""
    for owner in scan.listed(paths.downloads_folder()):
        for repo in scan.listed(owner):
            if f"{owner.name}/{repo.name}".lower() == name.lower():
                return None, repo
    path = find(name)
    ours = repository_of(path)
    if ours is not None and path.is_file():
        return path, ours
    raise _not_ours(name, path)


def _not_ours(name: str, path: Path) -> BadSetting:
    models = [model for model in scan.found_models() if model.path == path]
    sources = {model.source for model in models}
    package = next((model.origin.split()[1] for model in models if model.origin), "")
    if is_shipped(path):
        sources.add("shipped")
    why, hint = next((_NOT_OURS[source] for source in _NOT_OURS if source in sources), _NOT_OURS["folder"])
    full_name = title(path)
    return BadSetting(
        f"{show(name)} {why}.", hint.format(name=full_name, repo=full_name.partition(":")[0], package=package)
    )


def _present(path: Path, repo: Path) -> list[Path]:
    return [repo / name for name in files_of(path, repo) if (repo / name).is_file()]
