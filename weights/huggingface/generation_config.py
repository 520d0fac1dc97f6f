"""How the makers of a model sample from it: its generation_config.json, in our own names. Knows no torch."""

from __future__ import annotations

from typing import Any

from core.errors import BadSetting
from core.settings import Settings
from weights.untrusted.checked_json import CheckedJson

_COUNTS = ("top_k",)
_SHARES = ("temperature", "top_p", "min_p", "typical_p", "repetition_penalty")


def sampling(keys: CheckedJson) -> dict[str, float]:
    """The settings that are there, by the names of our `Settings`; those that are not stay ours.

    Raises:
        BadCheckpoint: one of them is impossible.
    """
    settings = {name: value for name in (*_COUNTS, *_SHARES) if (value := _read(keys, name)) is not None}
    if not keys.flag("do_sample", default=True):
        settings["temperature"] = 0.0
    return settings


def _read(keys: CheckedJson, name: str) -> float | None:
    value = keys.value(name)
    if value is None:
        return None
    if name == "top_k" and value == -1:  # how some say that it is off
        return 0
    if isinstance(value, bool) or not isinstance(value, int if name in _COUNTS else (int, float)):
        raise keys.bad(name, "a whole number" if name in _COUNTS else "a number")
    alone: dict[str, Any] = {name: value}
    try:
        Settings(**alone)
    except BadSetting as error:
        raise keys.bad(name, error.message.partition(" must be ")[2].partition(",")[0]) from error
    return value
