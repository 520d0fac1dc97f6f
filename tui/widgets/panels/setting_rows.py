"""The sampling settings as rows: their names, steps, words and order. Must not know the screen.

The order of the rows is that of `core.sampling.chain.CHAINS`; it is repeated here, and compared by a test, so that
the first frame does not wait for numpy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from core.errors import BadSetting
from core.settings import ORDERS, Order, Settings
from tui.widgets.panels.typing_panel import number_from

Value = float | str | None

_PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty", "penalty_window")
_CHAINS: dict[Order, tuple[str, ...]] = {
    "llama.cpp": (*_PENALTIES, "top_k", "typical_p", "top_p", "min_p", "temperature"),
    "transformers": (*_PENALTIES, "temperature", "top_k", "top_p", "min_p", "typical_p"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One setting: what it is called, how it is stepped through and how its values are said."""

    field: str
    name: str
    help: str
    off: Value  # what Backspace sets
    step: float = 1
    leap: float = 10
    low: float = 0
    high: float = math.inf
    whole: bool = False
    words: tuple[tuple[Value, str], ...] = ()  # values that are said in a word

    def value(self, settings: Settings) -> Value:
        value: Value = getattr(settings, self.field)
        return value

    def said(self, settings: Settings) -> str:
        value = self.value(settings)
        for special, word in self.words:
            if value == special:
                return word
        return f"{value:.6g}" if isinstance(value, float) else str(value)

    def is_off(self, settings: Settings) -> bool:
        return self.value(settings) == self.off

    def changed(self, settings: Settings, text: str) -> Settings:
        """The settings with what was typed for this one.

        Raises:
            BadSetting: it is not a number, or not one that fits here.
        """
        return self._with(settings, self._read(text))

    def switched_off(self, settings: Settings) -> Settings:
        return self._with(settings, self.off)

    def moved(self, settings: Settings, *, up: bool, far: bool = False) -> Settings:
        """One step on, to the next multiple of the step; it stops at either end of the range."""
        value = self.value(settings)
        if isinstance(value, str):
            other: Value = ORDERS[(ORDERS.index(settings.order) + (1 if up else -1)) % len(ORDERS)]
        else:
            start = self.low - 1 if value is None else value
            other = self._within(_next_multiple(start, self.leap if far else self.step, up=up))
        return self._with(settings, other)

    def _with(self, settings: Settings, value: Value) -> Settings:
        change: dict[str, Any] = {self.field: value}
        return replace(settings, **change)

    def _within(self, value: float) -> Value:
        if value < self.low and self.off is None:
            return None
        value = min(max(value, self.low), self.high)
        return int(value) if self.whole else round(float(value), 6)

    def _read(self, text: str) -> Value:
        if self.field == "order":
            return text
        if not self.whole:
            return number_from(text, self.name)
        try:
            return int(text)
        except ValueError:
            raise BadSetting(f"{self.name} must be a whole number, not {text!r}.") from None


def _next_multiple(value: float, step: float, *, up: bool) -> float:
    if isinstance(value, int) and isinstance(step, int):  # a seed has more digits than a float
        return (value // step + 1) * step if up else (-(-value // step) - 1) * step
    slack = 1e-9  # 0.95 / 0.01 is a hair below 95
    return (math.floor(value / step + slack) + 1) * step if up else (math.ceil(value / step - slack) - 1) * step


ROWS = {
    row.field: row
    for row in (
        Row(field="order", name="order", help="whose chain runs: temperature last, or first", off="llama.cpp"),
        Row(
            field="repetition_penalty",
            name="repetition",
            help="recent tokens: logit divided by it",
            off=1.0,
            step=0.05,
            leap=0.25,
            low=0.01,
            high=100,
            words=((1, "off"),),
        ),
        Row(
            field="presence_penalty",
            name="presence",
            help="recent tokens: subtracted once",
            off=0.0,
            step=0.1,
            leap=0.5,
            low=-100,
            high=100,
            words=((0, "off"),),
        ),
        Row(
            field="frequency_penalty",
            name="frequency",
            help="recent tokens: subtracted per use",
            off=0.0,
            step=0.1,
            leap=0.5,
            low=-100,
            high=100,
            words=((0, "off"),),
        ),
        Row(
            field="penalty_window",
            name="window",
            help="how many tokens back count as recent",
            off=64,
            step=16,
            leap=64,
            low=-1,
            whole=True,
            words=((-1, "all"), (0, "none")),
        ),
        Row(field="top_k", name="top-k", help="keep the k likeliest", off=0, whole=True, words=((0, "off"),)),
        Row(
            field="typical_p",
            name="typical",
            help="keep the least surprising mass p",
            off=1.0,
            step=0.01,
            leap=0.1,
            high=1,
            words=((1, "off"),),
        ),
        Row(
            field="top_p",
            name="top-p",
            help="keep the likeliest up to mass p",
            off=1.0,
            step=0.01,
            leap=0.1,
            high=1,
            words=((1, "off"),),
        ),
        Row(
            field="min_p",
            name="min-p",
            help="keep p times the likeliest or more",
            off=0.0,
            step=0.01,
            leap=0.1,
            high=1,
            words=((0, "off"),),
        ),
        Row(
            field="seed",
            name="seed",
            help="the same seed throws the same dice",
            off=None,
            leap=100,
            high=2**64 - 1,
            whole=True,
            words=((None, "new each time"),),
        ),
        Row(
            field="max_tokens",
            name="max tokens",
            help="a reply ends after so many",
            off=None,
            step=16,
            leap=256,
            low=1,
            whole=True,
            words=((None, "no limit"),),
        ),
    )
}


def fields(order: Order) -> tuple[str, ...]:
    """Every row from top to bottom; "temperature" has a place among them but no row."""
    return ("order", *_CHAINS[order], "seed", "max_tokens")
