"""How a model's weights are to be held, chosen before any of them is read. Must not know files or torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from core.errors import BadSetting
from weights.fit.available import AvailableMemory
from weights.fit.quantization import MODES, keeps_stored_format
from weights.fit.requirement import MemoryRequirement, first_that_fits


@dataclass(frozen=True, kw_only=True)
class ChosenQuantization:
    """The choice, and what the model needs with it."""

    mode: str | None  # of `MODES`, but never "auto"; None: as they are stored
    requirement: MemoryRequirement


def choose_quantization(
    quantize: str | None, requirement: MemoryRequirement, available: AvailableMemory, *, bits_as_stored: float
) -> ChosenQuantization:
    """
    Args:
        quantize: one of `MODES`; None for as they are stored, where the CPU can work with that.
        requirement: of the model with nothing quantized.
        bits_as_stored: per weight, if quantized matrices are kept so.

    Raises:
        BadSetting: there is no such quantization.
    """
    if quantize not in (None, *MODES):
        raise BadSetting(f"There is no quantisation {quantize!r}.", f"The choices are {', '.join(MODES)}.")
    if quantize is None and not keeps_stored_format(available.device, available.dtype):
        quantize = "none"
    if quantize == "auto":
        quantize = first_that_fits(requirement, available)
    if quantize is None:
        requirement = replace(requirement, bits=bits_as_stored)
    elif quantize in ("int8", "int4"):
        requirement = requirement.quantized(quantize)
    return ChosenQuantization(mode=quantize, requirement=requirement)
