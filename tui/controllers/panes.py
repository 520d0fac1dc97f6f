"""The panes of the chat's screen and the status line below them. Must not know when they show what."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical

from core.settings import Settings
from tui.session.engine_state import EngineStateHolder
from tui.widgets.panels.next_token import NextTokenPanel
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.temperature import TemperaturePanel
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.status import StatusBar
from tui.widgets.transcript.transcript import Transcript


class Panes:
    """Chat on the left, what the model is choosing from on the right; the status line follows the engine's state."""

    def __init__(self, settings: Settings, state: EngineStateHolder) -> None:
        self.transcript = Transcript(id="transcript")
        self.prompt = Prompt(id="prompt")
        self.temperature = TemperaturePanel(settings.temperature, id="temperature")
        self.next_token = NextTokenPanel(id="next-token")
        self.samplers = SamplersPanel(settings, id="samplers")
        self.keys = Container(id="keys")
        self.status_bar = StatusBar(state.now, id="status")
        state.listen(self.status_bar.show)

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield self.transcript
                yield self.prompt
            with Vertical(id="panels"):
                yield self.temperature
                yield self.next_token
                yield self.samplers
        yield self.status_bar
        yield self.keys
