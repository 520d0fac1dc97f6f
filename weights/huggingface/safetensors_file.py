"""A file of safetensors: what its header says, and its tensors when they are asked for. Knows no family."""

from __future__ import annotations

import math
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from core.errors import BadCheckpoint, OutOfMemory
from weights.layout import Index
from weights.untrusted.checked_json import show
from weights.untrusted.hints import COPY_AGAIN

if TYPE_CHECKING:
    from torch import Tensor

_FLOATS = frozenset(("F64", "F32", "F16", "BF16"))


@dataclass(frozen=True, kw_only=True)
class SafetensorsTensor:
    """A tensor in a file, not read yet."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str  # in the words of safetensors: F32, BF16 ...

    @property
    def n_values(self) -> int:
        return prod(self.shape)

    @property
    def is_float(self) -> bool:
        return self.dtype in _FLOATS

    def read(self, part: Index = (slice(None),)) -> Tensor:
        """A part of it. The file is mapped anew each time, so that pages already copied are given back.

        Raises:
            BadCheckpoint: the file is gone or damaged by now.
        """
        try:
            with safe_open(self.file, framework="pt") as file:
                values: Tensor = file.get_slice(self.name)[part]
        except (OSError, SafetensorError) as error:
            raise BadCheckpoint(f"{self.file} cannot be read any more.", COPY_AGAIN) from error
        except MemoryError as error:
            raise _too_large(self.file) from error
        if values.numel() and not all(map(math.isfinite, values.aminmax())):  # nan where any is: one pass, no copy
            raise BadCheckpoint(f"The tensor {show(self.name)} holds values that are not numbers.", COPY_AGAIN)
        return values


def headers(file: Path) -> dict[str, SafetensorsTensor]:
    """Every tensor of a file, by name.

    Raises:
        BadCheckpoint: it is missing, cut or damaged.
    """
    if file.exists() and not file.is_file():  # a pipe would keep whoever opens it waiting
        raise BadCheckpoint(f"{file} is not a file.", COPY_AGAIN)
    try:
        with safe_open(file, framework="np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
            return {
                name: SafetensorsTensor(file=file, name=name, shape=tuple(part.get_shape()), dtype=part.get_dtype())
                for name, part in slices.items()
            }
    except FileNotFoundError as error:
        raise BadCheckpoint(f"{file} is missing.", "The index names it. " + COPY_AGAIN) from error
    except OSError as error:
        raise BadCheckpoint(f"{file} cannot be read: {error}.", COPY_AGAIN) from error
    except MemoryError as error:
        raise _too_large(file) from error
    except SafetensorError as error:
        size = file.stat().st_size
        raise BadCheckpoint(f"{file} is damaged or not complete ({size:,} bytes).", COPY_AGAIN) from error


def _too_large(file: Path) -> OutOfMemory:
    """Where a process may not map what is as large as this, as under `ulimit -v`."""
    size = file.stat().st_size / 1e9
    return OutOfMemory(f"{file} ({size:,.1f} GB) cannot be mapped into memory.", "Choose a smaller model.")
