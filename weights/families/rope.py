"""Rotary embeddings as config.json spells them, now and formerly, with the ways to stretch them.

What a scaling does is settled here as far as the text's length does not matter. Knows no family and no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from core.config import RopeConfig
from weights.untrusted.checked_json import CheckedJson

Fields = dict[str, Any]
Scaling = Callable[[CheckedJson, CheckedJson], Fields]  # the rope's own keys, all keys -> fields of a RopeConfig


def _none(rope: CheckedJson, keys: CheckedJson) -> Fields:
    return {}


def _linear(rope: CheckedJson, keys: CheckedJson) -> Fields:
    return {"scaling": "linear", "factor": rope.number("factor")}


def _dynamic(rope: CheckedJson, keys: CheckedJson) -> Fields:
    """Dynamic NTK does nothing up to the context the model was made for, and that is where we stop.

    Beyond it, every further token would have all those before it rotated otherwise: no key in a cache would stay right.
    """
    rope.number("factor")
    return {}


def _llama3(rope: CheckedJson, keys: CheckedJson) -> Fields:
    return {
        "scaling": "llama3",
        "factor": rope.number("factor"),
        "low_frequency_factor": rope.number("low_freq_factor"),
        "high_frequency_factor": rope.number("high_freq_factor"),
        "original_context": _original(rope, keys),
    }


def _yarn(rope: CheckedJson, keys: CheckedJson) -> Fields:
    factor = rope.number("factor")
    return {
        "scaling": "yarn",
        "factor": factor,
        "low_frequency_factor": rope.number("beta_slow", 1.0),
        "high_frequency_factor": rope.number("beta_fast", 32.0),
        "whole_pairs": rope.flag("truncate", True),
        "original_context": _original(rope, keys),
        "magnitude": _yarn_magnitude(rope, factor),
    }


def _yarn_magnitude(rope: CheckedJson, factor: float) -> float:
    """How much rotated queries and keys grow (arXiv 2309.00071, 3.4, and what others have made of it)."""
    given = rope.maybe_number("attention_factor")
    above, below = rope.maybe_number("mscale"), rope.maybe_number("mscale_all_dim")

    def growth(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if given is not None:
        return given
    return growth(above) / growth(below) if above and below else growth(1.0)


def _longrope(rope: CheckedJson, keys: CheckedJson) -> Fields:
    original = _original(rope, keys)
    factor = rope.number("factor", keys.count("max_position_embeddings") / original)
    grown = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))
    return {
        "scaling": "longrope",
        "short_factors": rope.numbers("short_factor"),
        "long_factors": rope.numbers("long_factor"),
        "original_context": original,
        "magnitude": rope.number("attention_factor", grown),
    }


def _original(rope: CheckedJson, keys: CheckedJson) -> int:
    """How long the context was in training. A key beside the rope counts before one within, as in transformers."""
    name = "original_max_position_embeddings"
    within = rope.count(name, keys.count("max_position_embeddings"), least=2)
    return keys.count(name, within, least=2)


SCALINGS: Mapping[str, Scaling] = {
    "default": _none,
    "linear": _linear,
    "dynamic": _dynamic,
    "llama3": _llama3,
    "yarn": _yarn,
    "longrope": _longrope,
}


def read_rope(
    keys: CheckedJson,
    d_head: int = 0,
    *,
    theta: str = "rope_theta",
    part: str = "partial_rotary_factor",
    scalings: Mapping[str, Scaling] = SCALINGS,
) -> RopeConfig:
    """The rotary embedding in the old spelling (`rope_theta`, `rope_scaling`) or the new (`rope_parameters`).

    Args:
        d_head: channels of a head, in a family that can rotate only a part of them.
        theta, part: what the family's old spelling calls these.
        scalings: those the family knows.
    """
    rope = _table(keys)
    share = rope.number("partial_rotary_factor", keys.number(part, 1.0)) if d_head else 1.0
    width = None if share == 1.0 else int(d_head * share)
    return rope_of(rope, keys, theta=keys.number(theta, 10_000.0), width=width, scalings=scalings)


def rope_of(
    rope: CheckedJson,
    keys: CheckedJson,
    *,
    theta: float,
    width: int | None = None,
    scalings: Mapping[str, Scaling] = SCALINGS,
) -> RopeConfig:
    """The rotary embedding that a rope's own keys describe."""
    kind = "type" if rope.value("rope_type") is None else "rope_type"
    fields = rope.choice(kind, scalings, "default")(rope, keys)
    rope.value("type")
    fields |= {"theta": rope.number("rope_theta", theta), "width": width}
    for unknown in sorted(rope.unasked() - {"original_max_position_embeddings", "finetuned"}):
        if unknown != "partial_rotary_factor" or rope.value(unknown) != 1:
            raise rope.unsupported(unknown)
    return RopeConfig(**fields)


def read_context(keys: CheckedJson) -> int:
    """How many tokens there may be; with yarn what it stretches to, for published configs often keep the old number."""
    most, rope = keys.count("max_position_embeddings"), _table(keys)
    original, factor = rope.value("original_max_position_embeddings"), rope.value("factor")
    if "yarn" in (rope.value("rope_type"), rope.value("type")) and type(original) is int and factor is not None:
        return max(most, int(original * rope.number("factor")))
    return most


def _table(keys: CheckedJson) -> CheckedJson:
    return keys.table("rope_scaling") or keys.table("rope_parameters") or CheckedJson({})
