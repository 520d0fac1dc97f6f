"""An Ollama manifest: which blobs make a model, by what each is for. Must not know what is in a blob.

The folder is laid out as manifests/HOST/OWNER/NAME/TAG and blobs/sha256-DIGEST (Ollama, manifest/manifest.go); the
kinds of layers are those of server/images.go there.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

_KIND = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MAX_MANIFEST = 1_000_000  # bytes


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Where the parts of a model lie; None for what it does not have."""

    weights: Path
    template: Path | None = None  # a program in Go's template language
    params: Path | None = None  # JSON
    system: Path | None = None  # the system message that is used where a conversation has none
    has_adapter: bool = False  # changes of the weights, in a file of their own


def is_manifest(path: Path) -> bool:
    """By where it lies."""
    return len(path.parents) > 4 and path.parents[3].name == "manifests" and path.is_file()


def read_manifest(path: Path) -> Manifest | None:
    """None if it is none, or one of a model without a file of weights."""
    try:
        if path.stat().st_size > _MAX_MANIFEST:
            return None
        layers = json.loads(path.read_bytes())["layers"]
        digests = {layer["mediaType"].removeprefix(_KIND): layer["digest"] for layer in layers}  # the last one counts
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    blobs = path.parents[4] / "blobs"
    places = {kind: blobs / f"sha256-{name}" for kind, digest in digests.items() if (name := _digest(digest))}
    if "model" not in places:
        return None
    return Manifest(
        weights=places["model"],
        template=places.get("template", places.get("prompt")),  # its older name
        params=places.get("params"),
        system=places.get("system"),
        has_adapter="adapter" in digests,
    )


def _digest(text: object) -> str | None:
    """What a blob is called after; anything but a check sum could lead out of the folder."""
    found = _DIGEST.fullmatch(text) if isinstance(text, str) else None
    return found[1] if found else None
