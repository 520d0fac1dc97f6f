"""What the name of a GGUF file tells: its number format, and its parts if it is split. Must not open a file."""

from __future__ import annotations

import os
import re

_SPLIT = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_MAX_PARTS = 1000  # a name may say anything
_FORMAT = re.compile(
    r"(?:^|[-_.])((?:UD-)?(?:I?Q\d(?:_[0-9A-Z]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|F16|F32))(?=[-_.]|$)", re.IGNORECASE
)


def is_model_file(name: str) -> bool:
    """Whether a GGUF file of this name is a model, or the first part of one: not a later part, nor the eyes of one."""
    split = _SPLIT.fullmatch(name)
    return name.lower().endswith(".gguf") and "mmproj" not in name.lower() and (split is None or int(split[2]) == 1)


def parts_of(name: str) -> list[str]:
    """All files that belong to a GGUF file of this name: itself, or every part of a split one."""
    split = _SPLIT.fullmatch(name)
    if split is None:
        return [name]
    count = min(int(split[3]), _MAX_PARTS)
    return [f"{split[1]}-{number:05}-of-{split[3]}.gguf" for number in range(1, count + 1)]


def quantization_in(name: str) -> str | None:
    """The number format that a file's name tells, such as Q4_K_M."""
    formats = _FORMAT.findall(os.path.basename(name).removesuffix(".gguf"))
    return formats[-1].upper() if formats else None
