"""Models we fetched ourselves: what of them has arrived. Must not know the network.

Beside each model lies a record of its files. A file gets its final name only when its check sum was right, so what
has its final name is whole; a repository is complete when its record says so.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from core.errors import BadCheckpoint
from weights.gguf.names import parts_of
from weights.library import paths
from weights.untrusted.checked_json import read_json

RECORD = "download.json"
LOCK = ".lock"
PART = ".part"  # ending of a file that is still coming in


@dataclass
class Record:
    """The files of a repository that were asked for: name -> check sum, and which of them are here."""

    folder: Path
    revision: str = ""
    sums: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    whole: bool = False  # whether the checkpoint is complete, and all of one revision

    @classmethod
    def of(cls, folder: Path) -> Record:
        """What is recorded of a folder; empty where nothing is, or nothing that can be read."""
        record = cls(folder=folder)
        try:
            stored = read_json(folder / RECORD)
        except BadCheckpoint:
            return record
        sums, done, revision = stored.get("files"), stored.get("done"), stored.get("revision")
        if isinstance(sums, dict) and all(isinstance(checksum, str) for checksum in sums.values()):
            record.sums = sums
        if isinstance(done, list):
            record.done = {name for name in done if name in record.sums and (folder / name).is_file()}
        record.whole = stored.get("whole") is True
        record.revision = revision if isinstance(revision, str) else ""
        return record

    def has(self, name: str, checksum: str) -> bool:
        """Whether a file with this check sum is here."""
        return name in self.done and self.sums[name] == checksum

    def plan(self, sums: Mapping[str, str], revision: str) -> None:
        """These files shall be here."""
        self.done -= {name for name, checksum in sums.items() if not self.has(name, checksum)}
        self.sums |= sums
        self.revision = revision
        self.write()

    def prune(self, current: Collection[str]) -> None:
        """Remove files of an older revision of the checkpoint, all but these. GGUF files stand for themselves."""
        stale = [name for name in self.sums if name not in current and not name.endswith(".gguf")]
        if stale:
            self.drop(stale)

    def mark(self, name: str) -> None:
        """A file is here, whole."""
        self.done.add(name)
        self.write()

    def drop(self, names: Iterable[str]) -> None:
        """Remove these files."""
        for name in list(names):
            (self.folder / name).unlink(missing_ok=True)
            self._forget(name)
        self.write()

    def write(self) -> None:
        fresh = self.folder / (RECORD + PART)
        content = {"revision": self.revision, "files": self.sums, "done": sorted(self.done), "whole": self.whole}
        fresh.write_text(json.dumps(content, indent=1))
        os.replace(fresh, self.folder / RECORD)  # never half a record

    def _forget(self, name: str) -> None:
        self.sums.pop(name, None)
        self.done.discard(name)


def unfinished(path: Path) -> str | None:
    """Why a model of ours is not complete, or None: it is, or it is not ours."""
    repo = repository_of(path)
    if repo is None:
        return None
    record = Record.of(repo)
    if not record.sums or (record.whole if path.is_dir() else record.done.issuperset(files_of(path, repo))):
        return None
    name = repo.relative_to(paths.downloads_folder()).as_posix()
    name += "" if path.is_dir() else f":{path.relative_to(repo).as_posix()}"
    return f"Its download was interrupted. `logitscope models pull {name}` goes on with it."


def tidy(repo: Path) -> None:
    """Remove the folder of a repository that holds nothing of it, and the folder of its owner with the last one."""
    if not any(path.is_file() and path.stat().st_size and path.name != RECORD for path in repo.rglob("*")):
        shutil.rmtree(repo, ignore_errors=True)
    if repo.parent.is_dir() and not any(repo.parent.iterdir()):
        repo.parent.rmdir()


def repository_of(path: Path) -> Path | None:
    """The folder OWNER/NAME of ours that a model lies in; None if it lies elsewhere."""
    root = paths.downloads_folder()
    if not path.is_relative_to(root) or len(path.relative_to(root).parts) < 2:
        return None
    owner, name = path.relative_to(root).parts[:2]
    return root / owner / name


def files_of(path: Path, repo: Path) -> list[str]:
    """Names in the repository of a GGUF file and its other parts."""
    folder = path.parent.relative_to(repo)
    return [(folder / name).as_posix() for name in parts_of(path.name)]
