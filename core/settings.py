"""How the next token is chosen: every number a person can turn, checked once. Must not know torch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

from core.setting_spec import ORDERS as ORDERS
from core.setting_spec import Order as Order
from core.setting_specs import SPECS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sampling settings. What each means and may be stands in `core.setting_specs`; the defaults are llama.cpp's.

    Raises:
        BadSetting: a value is out of its range.
    """

    temperature: float = SPECS["temperature"].default
    top_k: int = SPECS["top_k"].default
    top_p: float = SPECS["top_p"].default
    min_p: float = SPECS["min_p"].default
    typical_p: float = SPECS["typical_p"].default
    repetition_penalty: float = SPECS["repetition_penalty"].default
    presence_penalty: float = SPECS["presence_penalty"].default
    frequency_penalty: float = SPECS["frequency_penalty"].default
    penalty_window: int = SPECS["penalty_window"].default
    seed: int | None = SPECS["seed"].default
    max_tokens: int | None = SPECS["max_tokens"].default
    order: Order = SPECS["order"].default
    stop: tuple[str, ...] = SPECS["stop"].default

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            SPECS[name].check(getattr(self, name))

    def with_value(self, name: str, value: Any) -> Self:
        """The same settings, but for one.

        Raises:
            BadSetting: the value is out of its range.
        """
        return replace(self, **{name: value})
