"""A model that writes as long as it may: the same weights, where no token ends a turn and no template asks for one.

The answers of a small model are over in a moment, which is too short to measure anything by.
"""

from __future__ import annotations

import json
from pathlib import Path

from weights.library.names import find

_SAMPLING, _TEMPLATE = "generation_config.json", "chat_template"


def endless(model: str, folder: Path) -> Path:
    """Make such a checkpoint in an empty folder out of links to the files of another."""
    for file in find(model).iterdir():
        if file.suffix == ".json" and "eos_token" in (text := file.read_text(encoding="utf-8")):
            if file.name == _SAMPLING:
                continue
            kept = {key: value for key, value in json.loads(text).items() if not _ends(key)}
            (folder / file.name).write_text(json.dumps(kept), encoding="utf-8")
        elif not file.name.startswith(_TEMPLATE):
            (folder / file.name).symlink_to(file.resolve())
    return folder


def _ends(key: str) -> bool:
    return key == _TEMPLATE or key.startswith(("eos_token", "eot_token", "eom_token"))
