"""A model of the Hugging Face hub comes into our own folder: only the files it takes, and only if it can be opened.

Must not know the screen: whoever calls is told how far it is. Importing this loads huggingface_hub, so import it late.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout
from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock, build_hf_headers  # type: ignore[attr-defined]

from core.errors import BadCheckpoint, DownloadFailed, LogitscopeError, UnsupportedModel
from weights.families import read_config
from weights.fit.requirement import gigabytes
from weights.gguf.beginning import check_beginning
from weights.hub.errors import explained
from weights.hub.http import Check, Remote, fetch
from weights.hub.repository import Repository, ask, endpoint, parse
from weights.huggingface.checkpoint import INDEX_FILE, SINGLE_FILE, Checkpoint, weight_map
from weights.library.download_record import LOCK, Record, tidy
from weights.library.paths import downloads_folder

_TEXTS = (
    *("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
    "chat_template.jinja",
)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a download is."""

    name: str  # of the file that is coming
    done: int  # bytes, of all files
    total: int
    came: int  # bytes that came over the network just now: what an earlier try had left tells nothing of the speed


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
    name, asked = parse(reference)
    # The client would ask the hub once a day for a list of programs, to tell it which of them had started us.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    with explained(name, endpoint()):
        repository = ask(name)
        is_checkpoint = asked is None and repository.has_safetensors
        file = "" if is_checkpoint else repository.gguf(asked)
        with _alone(downloads_folder() / repository.name) as folder:
            download = _Download(repository, folder, on_progress)
            if is_checkpoint:
                download.checkpoint()
                return repository.name
            download.gguf(file)
            return f"{repository.name}:{file}"


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """A repository's folder, for one process at a time. It goes again if nothing came into it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(folder / LOCK, timeout=0.1):
            try:
                yield folder
            finally:
                tidy(folder)
    except Timeout as error:
        raise DownloadFailed(f"Another process is fetching into {folder} right now.", "Wait for it to end.") from error


class _Download:
    """One repository on its way."""

    def __init__(self, repository: Repository, folder: Path, tell: Callable[[Progress], None] | None) -> None:
        self._repository = repository
        self._folder = folder
        self._tell = tell or (lambda progress: None)
        self._record = Record.of(folder)
        self._headers = build_hf_headers(library_name="logitscope")
        self._came = 0

    def gguf(self, first: str) -> None:
        """The header comes first: it tells whether the model can be opened, and if not, no weights follow."""
        files = [self._repository.remote(name) for name in self._repository.parts(first)]
        try:
            self._fetch(files, check=lambda path: check_beginning(path, files[0].name, files[0].size))
        except (UnsupportedModel, BadCheckpoint):
            files[0].part(self._folder).unlink(missing_ok=True)
            self._record.drop([file.name for file in files])
            raise

    def checkpoint(self) -> None:
        """The small files first: they tell whether the model can be opened, and what its weights are called."""
        if "config.json" not in self._repository.files:
            raise UnsupportedModel(f"{self._repository.name} has no config.json.", "Choose another repository.")
        texts = [self._repository.remote(name) for name in (*_TEXTS, INDEX_FILE) if name in self._repository.files]
        is_new = not self._record.sums
        self._record.whole = False
        self._fetch(texts, later=self._repository.size_of_weights)
        try:
            weights = self._weights()
        except LogitscopeError:
            if is_new:
                self._record.drop([text.name for text in texts])
            raise
        if SINGLE_FILE in weights:  # then an index is of other weights
            texts = [text for text in texts if text.name != INDEX_FILE]
        files = [*texts, *map(self._repository.remote, weights)]
        self._record.prune({file.name for file in files})
        self._fetch(files)
        self._record.whole = True
        self._record.write()

    def _weights(self) -> list[str]:
        """The names of its weight files.

        Raises:
            LogitscopeError: of the kind that `load` would raise for such a model.
        """
        checkpoint = Checkpoint(self._folder)
        read_config(checkpoint.config)
        _ = checkpoint.tokenizer_file
        if SINGLE_FILE in self._repository.files:
            return [SINGLE_FILE]
        if INDEX_FILE not in self._repository.files:
            raise UnsupportedModel(
                f"{self._repository.name} has no {SINGLE_FILE}.",
                "If it is an adapter, fetch the model it was merged into.",
            )
        return sorted(set(weight_map(self._folder / INDEX_FILE).values()))

    def _fetch(self, files: Iterable[Remote], later: int = 0, check: Check | None = None) -> None:
        """
        Args:
            later: bytes that belong to the whole but come in another call, so that the total is right at once.
            check: see `fetch`; of the first file.
        """
        files = list(files)
        self._record.plan({file.name: file.checksum for file in files}, self._repository.revision)
        missing = [file for file in files if not self._record.has(file.name, file.checksum)]
        self._check_disk(missing)
        size = sum(file.size for file in files)
        done = size - sum(file.size for file in missing)
        for file in missing:

            def tell(more: int, /, *, came: bool, name: str = file.name) -> None:
                nonlocal done
                done += more
                self._came += more if came else 0
                self._tell(Progress(name=name, done=done, total=size + later, came=self._came))

            fetch(file, self._folder, self._headers, tell, check if file is files[0] else None)
            self._record.mark(file.name)

    def _check_disk(self, missing: list[Remote]) -> None:
        parts = ((file.size, file.part(self._folder)) for file in missing)
        needed = sum(size - (part.stat().st_size if part.is_file() else 0) for size, part in parts)
        free = shutil.disk_usage(self._folder).free
        if needed > free:
            raise DownloadFailed(
                f"{gigabytes(needed)} are still to come, and {self._folder} has {gigabytes(free)} free: "
                f"{gigabytes(needed - free)} too little.",
                "Make room, or choose another disk with LOGITSCOPE_DATA.",
            )
