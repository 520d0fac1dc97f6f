"""What a repository of the hub holds, and which of its files are meant. Must not know where they go."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

from core.errors import BadSetting, DownloadFailed, ModelNotFound, UnsupportedModel
from weights.fit.requirement import gigabytes
from weights.gguf.names import is_model_file, parts_of, quantization_in
from weights.hub.http import Remote
from weights.huggingface.checkpoint import SINGLE_FILE
from weights.untrusted.checked_json import show
from weights.untrusted.file_names import PICKLE_SUFFIXES, is_plain_path

_ANOTHER = "Choose another repository of the same model."
_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_REFERENCE = re.compile(r"(?:https?://[^/]+/|hf://|hf\.co/)?([^/:\s]+/[^/:\s]+)(?:/(?:tree/main/?)?)?(?::(.+))?")


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One repository at one revision."""

    name: str
    revision: str
    files: dict[str, RepoSibling]

    @property
    def has_safetensors(self) -> bool:
        return any(name.endswith(".safetensors") for name in self.files)

    @property
    def size_of_weights(self) -> int:
        """In bytes, as far as the names tell which files they are; 0 where the hub does not tell sizes."""
        shards = [name for name in self.files if _SHARD.fullmatch(name)]
        names = [SINGLE_FILE] if SINGLE_FILE in self.files else shards
        return sum(self.files[name].size or 0 for name in names)

    def gguf(self, asked: str | None) -> str:
        """The GGUF file that is meant; the first part of a split one."""
        ggufs = sorted(name for name in self.files if is_model_file(name.rpartition("/")[2]))
        hits = ggufs
        if asked is not None:
            hits = [name for name in ggufs if asked in (name, name.rpartition("/")[2])]
            hits = hits or [name for name in ggufs if quantization_in(name) == asked.upper()]
        if len(hits) == 1:
            return hits[0]
        sizes = ", ".join(f"{self.name}:{name} ({gigabytes(self._size(name))})" for name in hits or ggufs)
        if hits:
            raise ModelNotFound(f"{self.name} has {len(hits)} GGUF files; say which one.", f"There are {sizes}.")
        if asked is not None:
            there = f"It has {sizes}." if sizes else "It has no GGUF files at all."
            raise ModelNotFound(f"{self.name} has no file {show(asked)}.", there)
        raise self._without_weights()

    def _without_weights(self) -> UnsupportedModel:
        pickled = sorted(name for name in self.files if name.endswith(PICKLE_SUFFIXES))
        if pickled:
            return UnsupportedModel(
                f"{self.name} holds its weights only as pickles ({show(pickled[0])}), which can run any code and are "
                "never opened.",
                "Look for a conversion of it to safetensors or GGUF on the hub.",
            )
        return UnsupportedModel(f"{self.name} holds no weights: neither safetensors nor GGUF.", _ANOTHER)

    def parts(self, first: str) -> list[str]:
        """All files of a GGUF model, given the first."""
        folder, slash, name = first.rpartition("/")
        return [f"{folder}{slash}{part}" for part in parts_of(name)]

    def remote(self, name: str) -> Remote:
        """A file, with what it takes to fetch and verify it.

        Raises:
            ModelNotFound: there is no such file.
            DownloadFailed: its check sum is not told.
        """
        file = self.files.get(name)
        if file is None:
            raise ModelNotFound(f"{self.name} lacks the file {show(name)}.", "Its upload is not complete.")
        url = hf_hub_url(self.name, name, revision=self.revision, endpoint=endpoint())
        size, checksum = file.size, _checksum_of(file.blob_id)
        if file.lfs is not None:  # then the blob is only a pointer to it
            size, checksum = file.lfs.size, _checksum_of(file.lfs.sha256)
        if size is None or not checksum:  # a mirror that tells less: ask for the file itself
            metadata = get_hf_file_metadata(url, endpoint=endpoint())
            size, checksum = metadata.size, _checksum_of(metadata.etag)
        if type(size) is not int or size < 0 or not checksum:
            raise DownloadFailed(
                f"{endpoint()} tells no check sum of {name}, so it could not be verified.", "Try another mirror."
            )
        return Remote(name=name, url=url, size=size, checksum=checksum)

    def _size(self, first: str) -> int:
        files = (self.files.get(name) for name in self.parts(first))
        return sum(file.size or 0 for file in files if file is not None)


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


def ask(name: str) -> Repository:
    """What the hub says of a repository.

    Raises:
        DownloadFailed: whatever answers is no hub.
        HfHubHTTPError, httpx2.HTTPError: as they come.
    """
    try:
        info = HfApi(endpoint=endpoint()).model_info(name, files_metadata=True, timeout=30)
        files = {file.rfilename: file for file in info.siblings or () if is_plain_path(file.rfilename)}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DownloadFailed(f"{endpoint()} does not answer like a hub.", "Is HF_ENDPOINT right?") from error
    return Repository(name=_canonical(info, name), revision=info.sha or "main", files=files)


def _canonical(info: ModelInfo, asked: str) -> str:
    """The hub finds a name in any case of letters and tells the right one; a name that is a path trick is not taken."""
    return info.id if info.id.lower() == asked.lower() else asked


def _checksum_of(digest: object) -> str:
    """The hub counts the sha256 of a large file, git's name of a small one; its ETag is the same (hf_hub_url)."""
    if not isinstance(digest, str) or re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", digest) is None:
        return ""
    return f"sha256:{digest}" if len(digest) == 64 else f"git:{digest}"
