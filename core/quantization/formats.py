"""The formats that weights are quantized to, as names and numbers alone. Must not know torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Kind = Literal["int8", "int4"]
GROUP = 32  # neighbouring columns of a row that share a scale, in float16
BITS: Mapping[str, float] = {"int8": 8 + 16 / GROUP, "int4": 4 + 16 / GROUP}  # per weight, the scales included
