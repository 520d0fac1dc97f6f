"""What a person may choose about how a model is opened. Must not know how that is done, and no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """Made where the person is asked, and handed on as it is to whoever acts on a part of it."""

    device: str | None = None  # such as "cuda"; None: the best this machine has
    dtype: str | None = None  # such as "bfloat16"; None: what the device is good at
    context: int | None = None  # tokens at most; None: what the model was made for, or as much as there is memory for
    quantize: str | None = None  # `weights.fit.quantization.MODES`; None: as stored, where the CPU can work with that
    draft: str | None = None  # what guesses: a smaller model, or how this one is held for it; None: nothing does
    draft_needed: bool = True  # or the model is opened all the same, if the draft does not fit it
