"""How much memory is needed, and what is said where there is not enough."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from core.config import ModelConfig
from core.errors import OutOfMemory
from core.quantization.formats import BITS
from weights.fit.available import AvailableMemory
from weights.fit.requirement import DTYPE_BITS, MemoryRequirement, context_that_fits, first_that_fits, requirement_of
from weights.library.listing import listing

# The shape of an 8-billion Llama 3.1: 32 layers, 8 key heads of 128 channels, so 65,536 numbers a token.
LLAMA = MemoryRequirement(n_parameters=8_030_261_248, cache_values=2 * 32 * 8 * 128, context=131_072)
GB = 10**9


def memory(free: float, dtype: str = "bfloat16") -> AvailableMemory:
    return AvailableMemory(device="cpu", dtype=dtype, free=round(free * GB))


def test_the_arithmetic() -> None:
    shape = {"vocab_size": 10, "n_heads": 32, "d_model": 4096, "d_ff": 10}
    config = ModelConfig(n_layers=32, n_kv_heads=8, d_head=128, context_length=131_072, **shape)
    assert requirement_of(config, LLAMA.n_parameters) == LLAMA
    assert LLAMA.total("bfloat16", 8_192) == 8_030_261_248 * 2 + 8_192 * 65_536 * 2  # 17.1 GB
    assert LLAMA.total("float32", 8_192) == 2 * LLAMA.total("bfloat16", 8_192)


def test_all_of_the_context_where_there_is_room_and_a_shorter_one_where_nobody_chose() -> None:
    assert context_that_fits(LLAMA, memory(40), asked=None, name="m") == 131_072
    shorter = context_that_fits(LLAMA, memory(18), asked=None, name="m")
    assert 2_048 <= shorter < 131_072
    assert shorter % 1_024 == 0
    assert LLAMA.total("bfloat16", shorter) <= 18 * GB
    assert context_that_fits(LLAMA, memory(18), asked=4_096, name="m") == 4_096
    unknown = AvailableMemory(device="cpu", dtype="float32", free=None)
    assert context_that_fits(LLAMA, unknown, asked=None, name="m") == 131_072
    tiny = MemoryRequirement(n_parameters=1_000, cache_values=10, context=16)
    assert context_that_fits(tiny, memory(0.1), asked=None, name="m") == 16


def test_too_large_a_context_says_by_how_much_and_which_would_fit() -> None:
    with pytest.raises(OutOfMemory) as caught:
        context_that_fits(LLAMA, memory(20), asked=100_000, name="some/model")
    # 16.06 + 100,000 * 131,072 bytes = 13.11, together 29.17
    assert caught.value.message == (
        "some/model needs 29.2 GB in bfloat16 with a context of 100,000 tokens, 9.2 GB more than cpu has free."
    )
    hit = re.fullmatch(r"It would fit with --context (\d+) or with --quantize int4\.", caught.value.hint)
    assert hit
    assert context_that_fits(LLAMA, memory(20), asked=int(hit[1]), name="m") == int(hit[1])
    with pytest.raises(OutOfMemory):
        context_that_fits(LLAMA, memory(20), asked=int(hit[1]) + 1_024, name="m")


def test_a_smaller_number_format_is_offered_where_it_fits() -> None:
    with pytest.raises(OutOfMemory) as caught:
        context_that_fits(LLAMA, memory(20, "float32"), asked=None, name="m")
    assert caught.value.hint == "It would fit with --dtype bfloat16 or with --quantize int8."
    with pytest.raises(OutOfMemory) as caught:
        context_that_fits(LLAMA, memory(17, "float32"), asked=20_000, name="m")
    ways = r"It would fit with --dtype bfloat16 --context (\d+) or with --quantize int8\."
    hit = re.fullmatch(ways, caught.value.hint)
    assert hit
    assert context_that_fits(LLAMA, memory(17), asked=int(hit[1]), name="m") == int(hit[1])


@pytest.mark.parametrize(("free", "best"), [(9, "int8"), (8.6, "int4"), (5, "int4")])
def test_else_the_first_quantization_that_fits(free: float, best: str) -> None:
    # 8.03 B weights in 8.5 and 4.5 bits are 8.53 and 4.52 GB; 2,048 tokens of cache are 0.27 GB
    with pytest.raises(OutOfMemory) as caught:
        context_that_fits(LLAMA, memory(free), asked=None, name="m")
    assert caught.value.hint == f"It would fit with --quantize {best}."
    assert first_that_fits(LLAMA, memory(free)) == best
    assert context_that_fits(replace(LLAMA, bits=BITS[best]), memory(free), asked=None, name="m") >= 2_048


def test_else_that_nothing_would_do() -> None:
    with pytest.raises(OutOfMemory, match="Not even in 4 bits") as caught:
        context_that_fits(LLAMA, memory(4.7), asked=None, name="m")
    assert "smaller model" in caught.value.hint
    quantized = replace(LLAMA, bits=BITS["int4"])
    with pytest.raises(OutOfMemory, match="Not even in 4 bits"):  # and what is in 4 bits already is not offered them
        context_that_fits(quantized, memory(4.6), asked=None, name="m")


def test_auto_is_the_first_that_fits() -> None:
    assert first_that_fits(LLAMA, memory(17)) == "none"
    assert first_that_fits(LLAMA, memory(1)) == "int4"
    assert first_that_fits(LLAMA, AvailableMemory(device="cpu", dtype="float32", free=None)) == "none"


def test_every_number_format_that_can_be_chosen_is_known() -> None:
    from core.backends.device import DTYPES

    assert {name: dtype.itemsize * 8 for name, dtype in DTYPES.items()} == DTYPE_BITS


def test_a_model_is_opened_with_the_context_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the listing says it needs is enough, and a byte less is not."""
    from weights import assemble
    from weights import load as loading

    entry = next(one for one in listing(available=memory(1, "float32")) if one.name == "textbook")
    assert entry.context is not None
    assert entry.needs is not None
    assert loading.load("textbook", device="cpu", dtype="float32").context_length == entry.context

    def little(*_: object) -> AvailableMemory:
        return AvailableMemory(device="cpu", dtype="float32", free=(entry.needs or 0) - 1)

    def read(*_: object) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(loading, "available_memory", little)
    assert loading.load("textbook", device="cpu", dtype="float32", context=100).context_length == 100
    monkeypatch.setattr(assemble, "_read_all", read)
    with pytest.raises(OutOfMemory, match=r"textbook needs 1\.\d MB in float32"):
        loading.load("textbook", device="cpu", dtype="float32")
