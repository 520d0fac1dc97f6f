"""One file comes over HTTP: resumed where it stopped, its size and check sum verified before it gets its name.

huggingface_hub 2.4 begins a file anew when it was killed and does not verify check sums, so its session, its headers
and its errors are used here, but not its download. Must not know repositories.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import httpx2
from huggingface_hub import constants, get_session
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import hf_raise_for_status  # type: ignore[attr-defined]

from core.errors import DownloadFailed
from weights.library.download_record import PART
from weights.untrusted.checked_json import show

WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)  # seconds before trying again, as often as that without a new byte
_CHUNK = 1 << 18
_FIRST_LOOK = 1 << 20  # bytes of a file that are looked at first
_BUSY = (408, 429, 500, 502, 503, 504)  # answers that may be another one in a moment


Check = Callable[[Path], bool]  # whether the beginning in this file was enough to tell


class Tell(Protocol):
    """Called with how many bytes more (or, when something is thrown away, fewer) are here."""

    def __call__(self, more: int, /, *, came: bool) -> None:
        """`came`: over the network just now, and not in an earlier try."""
        ...


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A file on the hub. Its check sum is "sha256:..." or, as git counts, "git:..."."""

    name: str
    url: str
    size: int
    checksum: str

    def part(self, folder: Path) -> Path:
        """Where it lies until it is whole; another content has another place."""
        return folder / f"{self.name}.{self.checksum.rpartition(':')[2][:12]}{PART}"

    def new_hash(self) -> _Hash:
        if self.checksum.startswith("sha256:"):
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)  # git's name of a content


def fetch(remote: Remote, folder: Path, headers: Mapping[str, str], tell: Tell, check: Check | None = None) -> None:
    """Bring a file into a folder. What is there of it already is kept, unless its check sum is wrong in the end.

    Args:
        check: looks at the beginning as it comes, until it says that it has seen enough; what it raises ends the fetch.

    Raises:
        DownloadFailed: what came is not what the hub says it should be.
        HfHubHTTPError, httpx2.HTTPError, OSError: as they come; what has arrived stays for the next time.
    """
    part = remote.part(folder)
    part.parent.mkdir(parents=True, exist_ok=True)
    resumed = part.is_file() and part.stat().st_size > 0
    if not _try(remote, part, headers, tell, check) and not (resumed and _try(remote, part, headers, tell, check)):
        raise DownloadFailed(
            f"{remote.name} came with a wrong check sum: it was damaged on its way, or is not what it claims to be.",
            "Nothing of it was kept. Try again, on another network or without a mirror (HF_ENDPOINT).",
        )
    part.replace(folder / remote.name)
    for other in part.parent.glob(f"*{PART}"):  # of older contents of the same file
        if re.fullmatch(re.escape(Path(remote.name).name) + r"\.[0-9a-f]{12}" + re.escape(PART), other.name):
            other.unlink(missing_ok=True)


def _try(remote: Remote, part: Path, headers: Mapping[str, str], tell: Tell, check: Check | None) -> bool:
    """Whether it is here now, whole and right. If it is wrong, nothing of it is kept."""
    with part.open("a+b") as file:
        arrival = _Arrival(remote, file, tell, check)
        arrival.take_stock()
        arrival.complete(headers)
        right = arrival.is_right()
        if not right:
            arrival.forget()
    if not right:
        part.unlink()
    return right


class _Arrival:
    """The bytes of a file that are here, and their hash so far."""

    def __init__(self, remote: Remote, file: IO[bytes], tell: Tell, check: Check | None) -> None:
        self._remote, self._file, self._tell, self._check = remote, file, tell, check
        self._checked_at = _FIRST_LOOK
        self._hash = remote.new_hash()
        self._have = 0

    def take_stock(self) -> None:
        """Count what an earlier try has left."""
        self._file.seek(0)
        while data := self._file.read(_CHUNK):
            self._count(data, came=False)
        if self._have > self._remote.size:
            self.forget()

    def complete(self, headers: Mapping[str, str]) -> None:
        """Ask for what is missing, again and again as long as something comes."""
        tries = 0
        while self._have < self._remote.size:
            before = self._have
            try:
                for data in self._missing(headers):
                    self._file.write(data)
                    self._count(data, came=True)
                    if self._have > self._remote.size:
                        return
                    self._look()
            except (httpx2.TransportError, HfHubHTTPError) as error:
                if isinstance(error, HfHubHTTPError) and error.response.status_code not in _BUSY:
                    raise
                tries = 0 if self._have > before else tries
                if tries == len(WAITS):
                    raise
            else:
                if self._have == before and tries == len(WAITS):
                    raise httpx2.RemoteProtocolError("the server ends its answers too early")
            self._file.flush()
            if self._have < self._remote.size:
                time.sleep(WAITS[min(tries, len(WAITS) - 1)])
                tries += 1

    def _look(self) -> None:
        """Let the beginning be checked, each time that twice as much is here."""
        if self._check is None or self._have < min(self._checked_at, self._remote.size):
            return
        self._file.flush()
        if self._check(Path(self._file.name)):
            self._check = None
        self._checked_at = 2 * self._have

    def is_right(self) -> bool:
        return self._have == self._remote.size and self._hash.hexdigest() == self._remote.checksum.rpartition(":")[2]

    def forget(self) -> None:
        self._file.truncate(0)
        self._tell(-self._have, came=False)
        self._have, self._hash = 0, self._remote.new_hash()

    def _count(self, data: bytes, *, came: bool) -> None:
        self._hash.update(data)
        self._have += len(data)
        self._tell(len(data), came=came)

    def _missing(self, headers: Mapping[str, str]) -> Iterator[bytes]:
        asking = {**headers, "Accept-Encoding": "identity"}  # a part of a compressed body would be another one
        if self._have:
            asking["Range"] = f"bytes={self._have}-"
        timeout = constants.HF_HUB_DOWNLOAD_TIMEOUT
        with get_session().stream("GET", self._remote.url, headers=asking, timeout=timeout) as response:
            if response.status_code == 416 and self._have:  # not so long any more: begin anew
                self.forget()
                return
            hf_raise_for_status(response)
            if self._have and not _continues(response, self._have):
                self.forget()
            yield from response.iter_raw()


def _continues(response: httpx2.Response, have: int) -> bool:
    """Whether the answer goes on after so many bytes, and is not the whole file again."""
    says = str(response.headers.get("Content-Range", ""))
    hit = re.match(r"bytes (\d+)-", says)
    if response.status_code == 206 and (hit is None or int(hit[1]) != have):
        raise DownloadFailed(f"The server answered with another part of the file than was asked for: {show(says)}.")
    return response.status_code == 206
