"""Models inside installed Python packages, found by the names of files. Must not import a package, nor open a model.

What is said of a package is what its own description says (PyPA, core metadata specifications), read as text.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from weights.gguf.names import is_model_file

_INFO = ".dist-info"
_MAX_METADATA = 200_000  # bytes of a description that are read: what is asked for stands at its head
_MAX_RECORD = 20_000_000  # bytes of the list of a package's files
_LONGEST_FACT = 60  # characters; some put the whole text of a licence where its name belongs
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_AROUND = re.compile(r"^(llm|gguf|model)[-_.]|[-_.](gguf|model)$", re.IGNORECASE)
_HOMES = ("homepage", "home", "source", "repository")

Facts = Mapping[str, list[str]]  # the fields of a description, by their names in small letters


@dataclass(frozen=True, kw_only=True)
class PackagedModel:
    """A GGUF file in a package."""

    name: str  # short: the package's, without what only says that there is a model in it
    path: Path
    origin: str  # the package and its version
    licence: str | None
    page: str | None  # where the package has its home


def packaged_models(places: Iterable[Path]) -> Iterator[PackagedModel]:
    """The GGUF files that lie in the folders of packages, not deeper.

    Args:
        places: folders to import from; those that hold no installed packages are passed over.
    """
    for place in places:
        folders = _folders_in(place)
        infos = [folder for folder in folders if folder.name.endswith(_INFO)]
        for package in folders if infos else ():
            if files := _models_in(package):
                yield from _described(files, package, infos)


def _folders_in(place: Path) -> list[Path]:
    try:
        with os.scandir(place) as entries:
            return sorted(place / entry.name for entry in entries if entry.name.isprintable() and entry.is_dir())
    except OSError:
        return []


def _models_in(package: Path) -> list[Path]:
    try:
        with os.scandir(package) as entries:
            names = [entry.name for entry in entries if entry.name.isprintable() and is_model_file(entry.name)]
    except OSError:
        return []
    return [package / name for name in sorted(names) if (package / name).is_file()]


def _described(files: list[Path], package: Path, infos: list[Path]) -> Iterator[PackagedModel]:
    facts = _facts(package, infos)
    name = _first(facts, "name")
    name = name if name and _NAME.fullmatch(name) else package.name
    short = (_AROUND.sub("", name) or name).lower()
    for file in files:
        yield PackagedModel(
            name=short if len(files) == 1 else f"{short}:{file.name}",
            path=file,
            origin=f"package {name} {_first(facts, 'version') or ''}".rstrip(),
            licence=_licence(facts),
            page=_page(facts),
        )


def _licence(facts: Facts) -> str | None:
    stated = _first(facts, "license-expression") or _first(facts, "license")
    classified = [text.rpartition(" :: ")[2] for text in facts.get("classifier", ()) if text.startswith("License :: ")]
    return stated or next(iter(classified), None)


def _page(facts: Facts) -> str | None:
    labelled = [link.partition(", ") for link in facts.get("project-url", ())]
    homes = [url for label, _, url in labelled if label.lower() in _HOMES]
    return next((url for url in (*homes, *facts.get("home-page", ())) if url.startswith("https://")), None)


def _first(facts: Facts, name: str) -> str | None:
    return next((fact for fact in facts.get(name, ()) if len(fact) <= _LONGEST_FACT), None)


def _facts(package: Path, infos: list[Path]) -> Facts:
    """What the description says that a package was installed with: mostly it is called so, else it lists the folder."""
    called_so = [info for info in infos if info.name.partition("-")[0].lower() == package.name.lower()]
    listing = called_so or [info for info in infos if _lists(info, package.name)]
    return _head(listing[0] / "METADATA") if listing else {}


def _lists(info: Path, folder: str) -> bool:
    return any(line.startswith(f"{folder}/") for line in _text(info / "RECORD", _MAX_RECORD).splitlines())


def _head(metadata: Path) -> Facts:
    facts: dict[str, list[str]] = {}
    for line in _text(metadata, _MAX_METADATA).splitlines():
        if not line.strip():
            break  # what follows is prose
        name, colon, value = line.partition(": ")
        if colon and value.strip().isprintable():
            facts.setdefault(name.lower(), []).append(value.strip())
    return facts


def _text(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most).decode("utf-8", "replace")
    except OSError:
        return ""
