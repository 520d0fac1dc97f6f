"""How weights are held, by what was asked for and what there is memory for."""

from __future__ import annotations

import pytest

from core.errors import BadSetting
from weights.fit import quantization
from weights.fit.available import AvailableMemory
from weights.fit.chosen_quantization import ChosenQuantization, choose_quantization
from weights.fit.requirement import MemoryRequirement

MODEL = MemoryRequirement(n_parameters=8_000_000, cache_values=1_000, context=1_024)


def chosen(quantize: str | None, *, free: int | None = None, dtype: str = "bfloat16") -> ChosenQuantization:
    available = AvailableMemory(device="cpu", dtype=dtype, free=free)
    return choose_quantization(quantize, MODEL, available, bits_as_stored=6.5)


@pytest.fixture(params=[True, False])
def c_library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    there: bool = request.param
    monkeypatch.setattr(quantization, "library", lambda: object() if there else None)
    return there


def test_unasked_it_stays_as_it_is_stored_where_c_decodes_it(c_library: bool) -> None:
    kept, unpacked = (None, 6.5), ("none", None)
    choice = chosen(None)
    assert (choice.mode, choice.requirement.bits) == (kept if c_library else unpacked)
    choice = chosen(None, dtype="float16")
    assert (choice.mode, choice.requirement.bits) == unpacked


@pytest.mark.parametrize(("mode", "bits"), [("none", None), ("int8", 8.5), ("int4", 4.5)])
def test_what_is_asked_for_is_done(mode: str, bits: float | None, c_library: bool) -> None:
    choice = chosen(mode)
    assert (choice.mode, choice.requirement.bits) == (mode, bits)


def test_auto_is_settled_here() -> None:
    cache = 1_024 * 1_000 * 2  # bytes
    for free, mode in ((16_000_000 + cache, "none"), (8_500_000 + cache, "int8"), (8_500_000 + cache - 1, "int4")):
        assert chosen("auto", free=free) == chosen(mode)
    assert chosen("auto", free=1).mode == "int4"
    assert chosen("auto", free=None).mode == "none"


def test_what_there_is_not() -> None:
    with pytest.raises(BadSetting, match=r"'int3'.*none, int8, int4, auto"):
        chosen("int3")
