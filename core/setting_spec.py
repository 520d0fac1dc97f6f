"""What there is to know of a setting of sampling, and how its values are checked, read and written.

Must not know the settings themselves: those are in setting_specs.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from core.errors import BadSetting

Order = Literal["llama.cpp", "transformers"]
ORDERS: tuple[Order, ...] = get_args(Order)

Kind = Literal["float", "int", "choice", "texts"]
Value = float | str | tuple[str, ...] | None

STAGES: dict[Order, tuple[str, ...]] = {
    "llama.cpp": ("penalties", "top-k", "typical", "top-p", "min-p", "temperature"),
    "transformers": ("penalties", "temperature", "top-k", "top-p", "min-p", "typical"),
}
"""The stages of the sampler chain from first to last: `core.sampling.chain.CHAINS` without numpy."""


@dataclass(frozen=True, kw_only=True)
class SettingSpec:
    """What there is to know of one setting.

    Args:
        name: of the field in `Settings`; what a program or a file calls it.
        kind: of its values; "int" also has None where `off` is None.
        off: what switches it off; where nothing does, what it is when nobody cares.
        low, high: the range, both ends included; infinity itself is never allowed.
        step, leap: how far a key moves it, and how far with Shift; values stop at multiples of it.
        choices: of the kind "choice".
        stage: of `STAGES` in which it acts; None: outside the chain.
        words: values that are said in a word.
        label: its name on the screen.
        flag: its option on the command line.
        hint: what to do about a value that is refused, a sentence.
        help: what it does in a few words.
        flag_help: what it does as the command line's help says it, without the default.
        explanation: what it does in a sentence or two; empty: the help screen does not have it.
    """

    name: str
    kind: Kind
    default: Any
    off: Any
    low: float = 0
    high: float = math.inf
    step: float = 1
    leap: float = 10
    choices: tuple[str, ...] = ()
    stage: str | None = None
    words: tuple[tuple[Value, str], ...] = ()
    label: str
    flag: str
    hint: str = ""
    help: str
    flag_help: str
    explanation: str = ""

    def __post_init__(self) -> None:
        if self.stage is not None and any(self.stage not in stages for stages in STAGES.values()):
            raise ValueError(f"{self.name} acts in the stage {self.stage!r}, which is not in STAGES")

    @property
    def is_sampler(self) -> bool:
        """Whether it changes the distribution that a token is drawn from."""
        return self.stage is not None

    def check(self, value: Any) -> None:
        """See that a value is allowed.

        Raises:
            BadSetting: it is not; the sentence names it and the range.
        """
        match self.kind:
            case "choice":
                if value not in self.choices:
                    hint = f"The {self.label}s are {' and '.join(self.choices)}."
                    raise BadSetting(f"There is no sampler {self.label} {value!r}.", hint)
            case "texts":
                if any(not text for text in value):
                    raise BadSetting(f"A {self.label} must not be empty.", self.hint)
            case _:
                if value is not None or self.off is not None:
                    self._check_range(value)

    def _check_range(self, value: Any) -> None:
        low, high = self.low, self.high
        if not low <= value <= high or value == math.inf:  # also catches nan, which compares with nothing
            most = high if isinstance(high, int) else f"{high:g}"  # a large whole number is named exactly
            allowed = f"at least {low:g}" if math.isinf(high) else f"between {low:g} and {most}"
            if isinstance(value, float) and not math.isfinite(value):  # a whole number may be too large for a float
                allowed = f"a finite number, {allowed}"
            raise BadSetting(f"{self.name} must be {allowed}, not {value}.", self.hint)

    def parse(self, text: str) -> Value:
        """The value that a person has written; a decimal comma counts as a point. Its range is for `check`.

        Raises:
            BadSetting: it is not a number, or not a whole one where only those are allowed.
        """
        match self.kind:
            case "choice":
                return text
            case "texts":
                return (text,)
            case "int":
                try:
                    return int(text)
                except ValueError:
                    raise BadSetting(f"{self.label} must be a whole number, not {text!r}.") from None
            case "float":
                try:
                    return float(text.replace(",", "."))
                except ValueError:
                    raise BadSetting(f"{self.label} must be a number, not {text!r}.") from None

    def text(self, value: Value) -> str:
        """A value as it is shown: its word, or at most six digits."""
        for special, word in self.words:
            if value == special:
                return word
        return f"{value:.6g}" if isinstance(value, float) else str(value)
