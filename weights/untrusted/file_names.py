"""Names of files as strangers write them: which of them are safe to use, and which are never opened. Opens no file."""

from __future__ import annotations

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")  # a pickle can run any code
_LONGEST_NAME = 255  # bytes, on every usual file system


def is_plain_name(name: str) -> bool:
    """Whether a file of this name lies in the same folder, on every system, and can be shown."""
    return (
        name.isprintable()
        and name not in ("", ".", "..")
        and len(name.encode()) <= _LONGEST_NAME
        and not set(name) & set("/\\:")
    )


def is_plain_path(path: str) -> bool:
    """Whether a file of this path, with slashes between folders, stays inside the folder it is put into."""
    return all(is_plain_name(part) for part in path.split("/"))
