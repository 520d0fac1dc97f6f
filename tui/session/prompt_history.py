"""What the person has sent before, kept on disk from one session to the next. Must not know the prompt.

One JSON object a line. Another session may write to the same file; a line that was torn by a crash is left out, and
where nothing can be written the history lasts as long as the session.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from weights.library.paths import data_folder

MOST = 500  # messages that are remembered
_LONGEST = 100_000  # characters of a message that is still written to disk


class History:
    """The last messages, oldest first."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or data_folder() / "history.jsonl"
        self.note = ""  # why it is not kept on disk, if so
        self.texts = self._read()

    def add(self, text: str) -> None:
        """Remember a message, unless it is the same as the last one."""
        if self.texts and self.texts[-1] == text:
            return
        self.texts = [*self.texts, text][-MOST:]
        if not self.note and len(text) <= _LONGEST:
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
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a+b", buffering=0) as file:
                if file.seek(0, os.SEEK_END):
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
        except OSError as error:
            self.note = _why(error)

    def _shorten(self, texts: list[str]) -> None:
        shorter = self._path.with_suffix(f".{os.getpid()}")
        try:
            shorter.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="ascii")
            shorter.replace(self._path)
        except OSError as error:
            self.note = _why(error)


def _text(line: bytes) -> str | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    text = record.get("text") if isinstance(record, dict) else None
    return text if isinstance(text, str) and text else None


def _why(error: OSError) -> str:
    return f"The history of your messages is not kept: {error.strerror or error}."
