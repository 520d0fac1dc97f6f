"""The settings in force: what the person chose, else what the model's makers recommend, else ours. Knows no screen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from core.setting_spec import Value
from core.settings import Settings


class ChosenSettings:
    """Settings, and which of them the person has chosen.

    Args:
        settings: to begin with; what differs from ours in them was chosen.
        given: what was chosen besides, by name, though it may be what ours is.
    """

    def __init__(self, settings: Settings, given: Mapping[str, Any] | None = None) -> None:
        self.settings = settings
        self.given = _changes(Settings(), settings) | dict(given or {})

    def choose(self, name: str, value: Value) -> None:
        """The person wants one of them to be this.

        Raises:
            BadSetting: the value is out of its range.
        """
        self.settings = self.settings.with_value(name, value)
        self.given = self.given | {name: value}

    def recommend(self, sampling: Mapping[str, float]) -> bool:
        """Another model's makers recommend this; whether anything is different now."""
        before, self.settings = self.settings, Settings(**{**sampling, **self.given})
        return before != self.settings


def _changes(before: Settings, after: Settings) -> dict[str, Any]:
    old = asdict(before)
    return {name: value for name, value in asdict(after).items() if value != old[name]}
