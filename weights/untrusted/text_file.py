"""A text file from a stranger, read as a whole, but for one that is far too large. Knows no format."""

from __future__ import annotations

from pathlib import Path

from core.errors import BadCheckpoint
from weights.untrusted.hints import COPY_AGAIN

USUAL = 10_000_000  # bytes; what is parsed takes some twenty times as much memory


def read_text(path: Path, *, most: int = USUAL) -> str:
    """
    Args:
        most: bytes that a file of this kind may have.

    Raises:
        BadCheckpoint: it is larger, cannot be read, or is not text.
    """
    try:
        with path.open("rb") as file:  # its size is not asked for: that of a device is 0, and it never ends
            content = file.read(most + 1)
    except OSError as error:
        raise BadCheckpoint(f"{path} cannot be read: {error.strerror}.", COPY_AGAIN) from error
    if len(content) > most:
        raise BadCheckpoint(f"{path} is too large: it has more than {most:,} bytes.", COPY_AGAIN)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadCheckpoint(f"{path} is damaged: it is not UTF-8 text.", COPY_AGAIN) from error
    return text.replace("\r\n", "\n").replace("\r", "\n")  # as Python reads every text
