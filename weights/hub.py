"""A model of the Hugging Face hub comes into our own folder: only the files it takes, and only if it can be opened.

Must not know the screen: whoever calls is told how far it is. Importing this loads huggingface_hub, so import it late.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout
from huggingface_hub import HfApi, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import WeakFileLock, build_hf_headers, validate_repo_id  # type: ignore[attr-defined]

from core.errors import BadSetting, DownloadFailed, LogitscopeError, ModelNotFound, UnsupportedModel
from weights import hub_errors, places, scan
from weights.checkpoint import Checkpoint, weight_map
from weights.downloads import Record
from weights.families import read_config
from weights.fetch import Remote, fetch
from weights.keys import show
from weights.memory import gigabytes

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_TEXTS = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_REFERENCE = re.compile(r"(?:https?://[^/]+/|hf://|hf\.co/)?([^/:\s]+/[^/:\s]+)(?:/(?:tree/main/?)?)?(?::(.+))?")


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a download is."""

    name: str  # of the file that is coming
    done: int  # bytes, of all files
    total: int


@dataclass(frozen=True, kw_only=True)
class _Repository:
    name: str
    revision: str
    files: dict[str, RepoSibling]


def pull(reference: str, on_progress: Callable[[Progress], None] | None = None) -> str:
    """Fetch a model, or go on with fetching it. Returns the name to open it by.

    Args:
        reference: OWNER/NAME, or OWNER/NAME:FILE.gguf, or OWNER/NAME:Q4_K_M for the file in that number format.

    Raises:
        BadSetting: that is not a reference.
        ModelNotFound: there is no such model or file, or it must be said which.
        UnsupportedModel: it is of a kind that cannot be opened here; found out before its weights are fetched.
        DownloadFailed: the network, the hub, the permission or the disk is in the way.
    """
    name, wanted = parse(reference)
    # The client would ask the hub once a day for a list of programs, to tell it which of them had started us.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    with hub_errors.explained(name, endpoint()):
        repository = _ask(name)
        is_checkpoint = wanted is None and any(file.endswith(".safetensors") for file in repository.files)
        file = "" if is_checkpoint else _chosen_gguf(repository, wanted)
        with _alone(places.downloads_folder() / repository.name) as folder:
            download = _Download(repository, folder, on_progress)
            if is_checkpoint:
                download.checkpoint()
                return repository.name
            download.gguf(file)
            return f"{repository.name}:{file}"


def parse(reference: str) -> tuple[str, str | None]:
    """OWNER/NAME and what comes after the colon; the address of a model's page will do too.

    Raises:
        BadSetting: it is neither.
    """
    hit = _REFERENCE.fullmatch(reference.strip())
    try:
        if hit is None:
            raise ValueError
        validate_repo_id(hit[1])
    except ValueError as error:
        raise BadSetting(
            f"{show(reference)} is not a model of the hub.", "Write OWNER/NAME or OWNER/NAME:FILE.gguf."
        ) from error
    return hit[1], hit[2]


def endpoint() -> str:
    """The hub, or the mirror that HF_ENDPOINT names."""
    return (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")


def _ask(name: str) -> _Repository:
    try:
        info = HfApi(endpoint=endpoint()).model_info(name, files_metadata=True, timeout=30)
        files = {file.rfilename: file for file in info.siblings or () if _is_plain(file.rfilename)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DownloadFailed(f"{endpoint()} does not answer like a hub.", "Is HF_ENDPOINT right?") from error
    return _Repository(name=_canonical(info, name), revision=info.sha or "main", files=files)


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """A repository's folder, for one process at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(folder / ".lock", timeout=0.1):
            yield folder
    except Timeout as error:
        raise DownloadFailed(f"Another process is fetching into {folder} right now.", "Wait for it to end.") from error


def _canonical(info: ModelInfo, asked: str) -> str:
    """The hub finds a name in any case of letters and tells the right one; a name that is a path trick is not taken."""
    return info.id if info.id.lower() == asked.lower() else asked


def _is_plain(name: str) -> bool:
    """Whether a file of this name stays inside the folder, on every system."""
    return not set(name) & set("\\:\0") and all(part not in ("", ".", "..") for part in name.split("/"))


def _chosen_gguf(repository: _Repository, wanted: str | None) -> str:
    """The GGUF file that is meant; the first part of a split one."""
    ggufs = sorted(name for name in repository.files if scan.is_model_file(name.rpartition("/")[2]))
    hits = ggufs
    if wanted is not None:
        hits = [name for name in ggufs if wanted in (name, name.rpartition("/")[2])]
        hits = hits or [name for name in ggufs if scan.quantisation_in(name) == wanted.upper()]
    if len(hits) == 1:
        return hits[0]
    sizes = [f"{repository.name}:{name} ({gigabytes(_size(repository, name))})" for name in hits or ggufs]
    if hits:
        raise ModelNotFound(
            f"{repository.name} has {len(hits)} GGUF files; say which one.", f"There are {', '.join(sizes)}."
        )
    if wanted is not None:
        there = f"It has {', '.join(sizes)}." if sizes else "It has no GGUF files at all."
        raise ModelNotFound(f"{repository.name} has no file {show(wanted)}.", there)
    pickled = sorted(name for name in repository.files if name.endswith(_PICKLES))
    if pickled:
        raise UnsupportedModel(
            f"{repository.name} holds its weights only as pickles ({show(pickled[0])}), which can run any code and are "
            "never opened.",
            "Look for a conversion of it to safetensors or GGUF on the hub.",
        )
    raise UnsupportedModel(f"{repository.name} holds no weights: neither safetensors nor GGUF.", "")


def _parts(repository: _Repository, first: str) -> list[str]:
    folder, slash, name = first.rpartition("/")
    return [f"{folder}{slash}{part}" for part in scan.parts_of(name)]


def _size(repository: _Repository, first: str) -> int:
    files = (repository.files.get(name) for name in _parts(repository, first))
    return sum(file.size or 0 for file in files if file is not None)


class _Download:
    """One repository on its way."""

    def __init__(self, repository: _Repository, folder: Path, tell: Callable[[Progress], None] | None) -> None:
        self._repository = repository
        self._folder = folder
        self._tell = tell or (lambda progress: None)
        self._record = Record.of(folder)
        self._headers = build_hf_headers(library_name="logitscope")

    def gguf(self, first: str) -> None:
        self._fetch([self._remote(name) for name in _parts(self._repository, first)])

    def checkpoint(self) -> None:
        """The small files first: they tell whether the model can be opened, and what its weights are called."""
        texts = [self._remote(name) for name in (*_TEXTS, _INDEX) if name in self._repository.files]
        is_new = not self._record.sums
        self._record.whole = False
        self._fetch(texts)
        try:
            weights = self._weights()
        except LogitscopeError:
            if is_new:
                self._record.drop([one.name for one in texts])
            raise
        if _SINGLE in weights:  # then an index is of other weights
            texts = [one for one in texts if one.name != _INDEX]
        files = [*texts, *map(self._remote, weights)]
        self._record.prune({one.name for one in files})
        self._fetch(files)
        self._record.whole = True
        self._record.write()

    def _weights(self) -> list[str]:
        """The names of its weight files.

        Raises:
            LogitscopeError: of the kind that `load` would raise for such a model.
        """
        here = Checkpoint(self._folder)
        read_config(here.config)
        _ = here.tokenizer_file
        if _SINGLE in self._repository.files:
            return [_SINGLE]
        if _INDEX not in self._repository.files:
            raise UnsupportedModel(
                f"{self._repository.name} has no {_SINGLE}.", "If it is an adapter, fetch the model it was merged into."
            )
        return sorted(set(weight_map(self._folder / _INDEX).values()))

    def _remote(self, name: str) -> Remote:
        file = self._repository.files.get(name)
        if file is None:
            raise ModelNotFound(f"{self._repository.name} lacks the file {show(name)}.", "Its upload is not complete.")
        url = hf_hub_url(self._repository.name, name, revision=self._repository.revision, endpoint=endpoint())
        size, checksum = file.size, ""
        if file.lfs is not None:
            size, checksum = file.lfs.size, f"sha256:{file.lfs.sha256}"
        elif file.blob_id is not None:
            checksum = f"git:{file.blob_id}"
        if size is None or not checksum:  # a mirror that tells less: ask for the file itself
            metadata = get_hf_file_metadata(url, endpoint=endpoint())
            size, checksum = metadata.size, _checksum_of(metadata.etag)
        if size is None or not checksum:
            raise DownloadFailed(f"{endpoint()} tells no check sum of {name}, so it could not be verified.", "")
        return Remote(name=name, url=url, size=size, checksum=checksum)

    def _fetch(self, files: Iterable[Remote]) -> None:
        files = list(files)
        self._record.plan({one.name: one.checksum for one in files}, self._repository.revision)
        missing = [one for one in files if not self._record.has(one.name, one.checksum)]
        self._check_disk(missing)
        total = sum(one.size for one in files)
        done = total - sum(one.size for one in missing)
        for one in missing:

            def tell(more: int, name: str = one.name) -> None:
                nonlocal done
                done += more
                self._tell(Progress(name=name, done=done, total=total))

            fetch(one, self._folder, self._headers, tell)
            self._record.mark(one.name)

    def _check_disk(self, missing: list[Remote]) -> None:
        parts = ((one.size, one.part(self._folder)) for one in missing)
        needed = sum(size - (part.stat().st_size if part.is_file() else 0) for size, part in parts)
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise DownloadFailed(
                f"{gigabytes(needed)} are still to come, and {self._folder} has {gigabytes(free)} free: "
                f"{gigabytes(needed - free)} too little.",
                "Make room, or choose another disk with LOGITSCOPE_DATA.",
            )


def _checksum_of(etag: str | None) -> str:
    """The hub's ETag is the sha256 of a large file, git's name of a small one (huggingface_hub, hf_hub_url)."""
    if re.fullmatch("[0-9a-f]{64}", etag or ""):
        return f"sha256:{etag}"
    return f"git:{etag}" if re.fullmatch("[0-9a-f]{40}", etag or "") else ""
