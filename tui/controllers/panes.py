"""The panes of the chat's screen and the status line below them. Must not know when they show what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical

from core.settings import Settings
from tui.widgets.panels.next_token import NextTokenPanel
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.temperature import TemperaturePanel
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.status import Status, StatusBar
from tui.widgets.transcript.transcript import Transcript


class Panes:
    """Chat on the left, what the model is choosing from on the right."""

    def __init__(self, settings: Settings, model: str) -> None:
        self.transcript = Transcript(id="transcript")
        self.transcript.model_name = model
        self.prompt = Prompt(id="prompt")
        self.temperature = TemperaturePanel(settings.temperature, id="temperature")
        self.next_token = NextTokenPanel(id="next-token")
        self.samplers = SamplersPanel(settings, id="samplers")
        self.keys = Container(id="keys")
        self._status_bar = StatusBar(Status(model=model), id="status")

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield self.transcript
                yield self.prompt
            with Vertical(id="panels"):
                yield self.temperature
                yield self.next_token
                yield self.samplers
        yield self._status_bar
        yield self.keys

    @property
    def status(self) -> Status:
        """What the status line says."""
        return self._status_bar.status

    def show_status(self, **changes: Any) -> None:
        """Say this in the status line, and all else as before."""
        self._status_bar.show(replace(self.status, **changes))
