"""Rotary embeddings as a GGUF file tells of them, in keys and in tensors of factors. Names no architecture."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping
from typing import Any

from core.config import RopeConfig
from weights.untrusted.checked_json import CheckedJson

FACTORS = "rope_freqs.weight"  # what Llama 3.1 divides its frequencies by
LONG, SHORT = "rope_factors_long.weight", "rope_factors_short.weight"  # what longrope does, by the text's length
TENSORS = (FACTORS, LONG, SHORT)

_BORDERS = (("yarn_beta_slow", 1.0), ("yarn_beta_fast", 32.0))  # with others, llama.cpp does not do what they say

Fields = dict[str, Any]
ReadFactors = Callable[[str], tuple[float, ...]]  # the values of a tensor, by its name


def read_rope(keys: CheckedJson, d_head: int, tensors: Container[str], read_factors: ReadFactors) -> RopeConfig:
    """
    Args:
        tensors: those of TENSORS that there are, and that this architecture reads.
    """
    width = keys.count("rope.dimension_count", d_head)
    kind = keys.choice("rope.scaling.type", _SCALINGS, "linear" if LONG not in tensors else "longrope")
    fields = _longrope(keys) if LONG in tensors else kind(keys)
    for name, tensor in (("factors", FACTORS), ("long_factors", LONG), ("short_factors", SHORT)):
        if tensor in tensors:
            fields[name] = read_factors(tensor)
    width_or_all = None if width == d_head else width
    return RopeConfig(theta=keys.number("rope.freq_base", 10_000.0), width=width_or_all, **fields)


def stretched(context: int, rope: RopeConfig) -> int:
    """The context; with yarn what it stretches to, for files often keep the number from before."""
    return max(context, int(rope.original_context * rope.factor)) if rope.scaling == "yarn" else context


def _none(keys: CheckedJson) -> Fields:
    keys.only("rope.scaling.attn_factor", (None, 1.0))
    for name in ("factor", "original_context_length"):
        keys.value(f"rope.scaling.{name}")  # only the kinds of scaling below compute with it
    return {}


def _linear(keys: CheckedJson) -> Fields:
    by = "rope.scale_linear" if keys.value("rope.scaling.factor") is None else "rope.scaling.factor"
    factor = keys.number(by) if keys.value(by) not in (None, 0) else 1.0
    return _none(keys) | ({} if factor == 1.0 else {"scaling": "linear", "factor": factor})


def _yarn(keys: CheckedJson) -> Fields:
    factor = keys.number("rope.scaling.factor")
    for name, usual in (("attn_factor", 1.0), ("yarn_ext_factor", 1.0), ("yarn_attn_factor", 1.0), *_BORDERS):
        keys.only(f"rope.scaling.{name}", (None, usual))
    return {
        "scaling": "yarn",
        "factor": factor,
        "low_frequency_factor": 1.0,
        "high_frequency_factor": 32.0,
        "original_context": _original(keys),
        "magnitude": 0.1 * math.log(factor) + 1.0 if factor > 1 else 1.0,
    }


def _longrope(keys: CheckedJson) -> Fields:
    keys.only("rope.scaling.factor", (None, 0, 1.0))
    return {
        "scaling": "longrope",
        "original_context": _original(keys),
        "magnitude": keys.number("rope.scaling.attn_factor", 1.0),
    }


def _original(keys: CheckedJson) -> int:
    """How long the context was in training."""
    return keys.count("rope.scaling.original_context_length", keys.count("context_length"), least=2)


_SCALINGS: Mapping[str, Callable[[CheckedJson], Fields]] = {
    "none": _none,
    "linear": _linear,
    "yarn": _yarn,
    "longrope": _longrope,
}
