"""The sampling settings as rows: which there are, in which order, and how a key moves one. Must not know the screen."""

from __future__ import annotations

import math

from core.setting_spec import STAGES, Order, SettingSpec, Value
from core.setting_specs import SPECS


def rows(order: Order) -> list[SettingSpec]:
    """Every row from top to bottom: whose chain it is, what acts in it as it runs, then what stands outside of it.

    The temperature has its place among them, though it is moved elsewhere.
    """
    in_chain = [spec for stage in STAGES[order] for spec in SPECS.values() if spec.stage == stage]
    outside = [spec for spec in SPECS.values() if not spec.is_sampler and spec.kind != "texts"]
    return sorted([*in_chain, *outside], key=_block)


def _block(spec: SettingSpec) -> int:
    return 0 if spec.name == "order" else 1 if spec.is_sampler else 2


def choosable(order: Order) -> list[SettingSpec]:
    """The rows that can be changed where they stand."""
    return [spec for spec in rows(order) if spec.name != "temperature"]


def moved(spec: SettingSpec, value: Value, *, up: bool, far: bool = False) -> Value:
    """The value one step on, at the next multiple of the step; it stops at either end of the range."""
    if isinstance(value, str):
        return spec.choices[(spec.choices.index(value) + (1 if up else -1)) % len(spec.choices)]
    assert not isinstance(value, tuple), "texts have no row"
    start = spec.low - 1 if value is None else value
    return _within(spec, _next_multiple(start, spec.leap if far else spec.step, up=up))


def _within(spec: SettingSpec, value: float) -> Value:
    if value < spec.low and spec.off is None:
        return None
    value = min(max(value, spec.low), spec.high)
    return int(value) if spec.kind == "int" else round(float(value), 6)


def _next_multiple(value: float, step: float, *, up: bool) -> float:
    if isinstance(value, int) and isinstance(step, int):  # a seed has more digits than a float
        return (value // step + 1) * step if up else (-(-value // step) - 1) * step
    slack = 1e-9  # 0.95 / 0.01 is a hair below 95
    return (math.floor(value / step + slack) + 1) * step if up else (math.ceil(value / step - slack) - 1) * step
