"""The settings as they are moved: in their panels, with the engine, on the last choice. Must not know torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.setting_spec import Value
from core.setting_specs import SPECS
from core.settings import Settings
from tui.controllers.last_token import LastToken
from tui.controllers.panes import Panes
from tui.controllers.replies import Replies
from tui.engines.protocol import Change, EngineLink
from tui.session.chosen_settings import ChosenSettings
from tui.session.open_model import OpenModel
from tui.widgets.panels.temperature import tidy


class LiveSettings:
    """Whatever moves a setting, it takes effect with the next token."""

    def __init__(
        self,
        engine: EngineLink,
        open_model: OpenModel,
        panes: Panes,
        chosen: ChosenSettings,
        last_token: LastToken,
        replies: Replies,
    ) -> None:
        self._engine = engine
        self._open_model = open_model
        self._panes = panes
        self._chosen = chosen
        self._last_token = last_token
        self._replies = replies

    @property
    def settings(self) -> Settings:
        return self._chosen.settings

    @property
    def given(self) -> Mapping[str, Any]:
        """What the person has chosen, by name."""
        return self._chosen.given

    def set(self, name: str, value: Value) -> None:
        """The person has moved a setting to this, in its own panel.

        Raises:
            BadSetting: the value is out of its range.
        """
        self._chosen.choose(name, value)
        self._take_effect()

    def nudge_temperature(self, delta: float) -> None:
        """Hotter or colder by so much, not below the lowest there is, and seen on its slider."""
        lowest = SPECS["temperature"].low
        value = tidy(max(float(lowest), self.settings.temperature + delta))
        if value != self.settings.temperature:
            self._panes.temperature.set_value(value)
            self.set("temperature", value)

    def recommend(self, sampling: Mapping[str, float]) -> None:
        """What the open model's makers recommend, where the person has chosen nothing."""
        if self._chosen.recommend(sampling):
            self._panes.temperature.set_value(self.settings.temperature)
            self._take_effect()

    def _take_effect(self) -> None:
        """From the next token on; with nothing running, show at once what it would do to the last one."""
        self._panes.samplers.show(self.settings)
        if self._open_model.capabilities.live_settings:
            self._engine.send(Change(self.settings))
        if not self._replies.is_running:
            self._last_token.inspect(self.settings)
