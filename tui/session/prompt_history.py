"""What the person has sent before, kept on disk from one session to the next. Must not know the prompt.

One JSON object a line. Another session may write to the same file; a line that was torn by a crash is left out, and
where nothing can be written, or LOGITSCOPE_HISTORY=off forbids it, the history lasts as long as the session. What
somebody has said is nobody else's business: the file is the person's alone, and so is a folder made for it.
"""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from weights.library.paths import data_folder

MOST = 500  # messages that are remembered
_LONGEST = 100_000  # characters of a message that is still written to disk
_OFF = ("off", "0", "no", "false")


class History:
    """The last messages, oldest first."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or data_folder() / "history.jsonl"
        self.note = ""  # why it is not kept on disk, if so
        self._is_kept = path is not None or is_kept()
        self.texts = self._read() if self._is_kept else []

    def add(self, text: str) -> None:
        """Remember a message, unless it is the same as the last one."""
        if self.texts and self.texts[-1] == text:
            return
        self.texts = [*self.texts, text][-MOST:]
        if self._is_kept and not self.note and len(text) <= _LONGEST:
            self._write(text)

    def _read(self) -> list[str]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as error:
            self.note = _why(error)
            return []
        texts = [text for line in lines if (text := _text(line)) is not None]
        if len(texts) > 2 * MOST:
            self._shorten(texts[-MOST:])
        return texts[-MOST:]

    def _write(self, text: str) -> None:
        """In one piece, so that two sessions do not mix their lines; a torn line before it is ended first."""
        line = json.dumps({"text": text}).encode() + b"\n"
        try:
            make_private_folder(self._path.parent)
            with open(self._path, "a+b", buffering=0, opener=_private) as file:
                _make_private(file.fileno())
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            self.note = _why(error)

    def _shorten(self, texts: list[str]) -> None:
        shorter = self._path.with_suffix(f".{os.getpid()}")
        try:
            with open(shorter, "w", encoding="ascii", opener=_private) as file:
                file.write("".join(json.dumps({"text": text}) + "\n" for text in texts))
            shorter.replace(self._path)
        except OSError as error:
            self.note = _why(error)


def is_kept() -> bool:
    """Whether the person lets anything of it be written."""
    return os.environ.get("LOGITSCOPE_HISTORY", "").strip().lower() not in _OFF


def make_private_folder(folder: Path) -> None:
    """A folder that only this person can look into, if it is made here. One of theirs is left as they have made it, but
    for the one that is ours by name.

    Raises:
        OSError: it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder == data_folder() and not os.environ.get("LOGITSCOPE_DATA") and folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _make_private(file: int) -> None:
    """One that is there already may have been made for everybody to read."""
    if os.name == "posix" and os.fstat(file).st_mode & 0o077:
        with contextlib.suppress(PermissionError):  # it is somebody else's
            os.fchmod(file, 0o600)


def _text(line: bytes) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    text = record.get("text") if isinstance(record, dict) else None
    return text if isinstance(text, str) and text else None


def _why(error: OSError) -> str:
    return f"The history of your messages is not kept: {error.strerror or error}."
