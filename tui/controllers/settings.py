"""The settings as they are moved: in their panels, with the engine, on the last choice. Must not know torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.setting_spec import Value
from core.settings import Settings
from tui.controllers.last_token import LastToken
from tui.controllers.panes import Panes
from tui.controllers.replies import Replies
from tui.engines.protocol import Change, EngineLink
from tui.session.chosen_settings import ChosenSettings


class LiveSettings:
    """Whatever moves a setting, it takes effect with the next token."""

    def __init__(
        self, engine: EngineLink, panes: Panes, choices: ChosenSettings, last_choice: LastToken, answering: Replies
    ) -> None:
        self._engine = engine
        self._panes = panes
        self._choices = choices
        self._last_choice = last_choice
        self._answering = answering

    @property
    def settings(self) -> Settings:
        return self._choices.settings

    @property
    def given(self) -> Mapping[str, Any]:
        """What the person has chosen, by name."""
        return self._choices.given

    def set(self, name: str, value: Value) -> None:
        """The person wants a setting to be this.

        Raises:
            BadSetting: the value is out of its range.
        """
        self._choices.choose(name, value)
        self._take_effect()

    def recommend(self, sampling: Mapping[str, float]) -> None:
        """What the open model's makers recommend, where the person has chosen nothing."""
        if self._choices.recommend(sampling):
            self._panes.temperature.set_value(self.settings.temperature)
            self._take_effect()

    def _take_effect(self) -> None:
        """From now on; with nothing running, show at once what it would do to the last choice."""
        self._panes.samplers.show(self.settings)
        self._engine.send(Change(self.settings))
        if not self._answering.is_running:
            self._last_choice.inspect(self.settings)
