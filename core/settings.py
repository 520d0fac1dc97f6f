"""How the next token is chosen: every number a person can turn, checked once. Must not know torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from core.errors import BadSetting

Order = Literal["llama.cpp", "transformers"]
ORDERS: tuple[Order, ...] = get_args(Order)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sampling settings. The defaults are llama.cpp's; the values that switch a stage off stand beside it."""

    temperature: float = 0.8  # 0 is argmax
    top_k: int = 40  # 0: off
    top_p: float = 0.95  # 1: off
    min_p: float = 0.05  # 0: off
    typical_p: float = 1.0  # 1: off
    repetition_penalty: float = 1.0  # 1: off
    presence_penalty: float = 0.0  # 0: off
    frequency_penalty: float = 0.0  # 0: off
    penalty_window: int = 64  # how many of the last tokens are penalised; -1: all of them
    seed: int | None = None  # None: a new one for every reply
    order: Order = "llama.cpp"
    max_tokens: int | None = None  # None: until the model ends or the context is full
    stop: tuple[str, ...] = ()  # the reply ends before any of these

    def __post_init__(self) -> None:
        self._check(
            "temperature",
            self.temperature,
            0,
            math.inf,
            "0 always takes the likeliest token",
        )
        self._check("top_k", self.top_k, 0, math.inf, "0 switches it off")
        self._check("top_p", self.top_p, 0, 1, "1 switches it off")
        self._check("min_p", self.min_p, 0, 1, "0 switches it off")
        self._check("typical_p", self.typical_p, 0, 1, "1 switches it off")
        self._check("repetition_penalty", self.repetition_penalty, 0.01, 100, "1 switches it off")
        self._check("presence_penalty", self.presence_penalty, -100, 100, "0 switches it off")
        self._check("frequency_penalty", self.frequency_penalty, -100, 100, "0 switches it off")
        self._check("penalty_window", self.penalty_window, -1, math.inf, "-1 looks at the whole context")
        if self.max_tokens is not None:
            self._check("max_tokens", self.max_tokens, 1, math.inf, "leave it out for no limit")
        if self.seed is not None:
            self._check("seed", self.seed, 0, 2**64 - 1, "leave it out for a new one each time")
        if self.order not in ORDERS:
            raise BadSetting(f"There is no sampler order {self.order!r}.", f"The orders are {' and '.join(ORDERS)}.")
        if any(not text for text in self.stop):
            raise BadSetting("A stop string must not be empty.", "Leave it out to stop only where the model does.")

    @staticmethod
    def _check(name: str, value: float, low: float, high: float, hint: str) -> None:
        if not low <= value <= high or value == math.inf:  # also catches nan, which compares with nothing
            wanted = (
                f"at least {low:g}"
                if math.isinf(high)
                else f"between {low:g} and {high if isinstance(high, int) else format(high, 'g')}"
            )
            raise BadSetting(f"{name} must be {wanted}, not {value}.", hint[0].upper() + hint[1:] + ".")
