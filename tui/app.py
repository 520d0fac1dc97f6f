"""The screen: passes on what the person does and what the engine says, to whom it concerns.

It computes nothing of its own, and draws nothing: the panes do. Must not know torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from textual import events, on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.screen import Screen

from core.settings import Order, Settings
from tui import actions
from tui.controllers import notes as wording
from tui.controllers.last_token import LastToken
from tui.controllers.model_screens import ModelScreens
from tui.controllers.models import ModelSwitcher
from tui.controllers.panes import Panes
from tui.controllers.replies import Replies
from tui.controllers.settings import LiveSettings
from tui.engines.protocol import Answer, Compiling, EngineLink, Failed, Inspected, Load, Loading, Ready, Told
from tui.session.chosen_settings import ChosenSettings
from tui.session.open_model import OpenModel
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.prompt.prompt import Prompt
from tui.widgets.transcript.markdown import parser

REDRAWS_PER_SECOND = 12  # what the screen takes from two processors, a model that uses both must wait for
_PAUSE = 0.3  # seconds after the first frame, when nobody has typed a message yet


class LogitscopeApp(App[None]):
    """Chat on the left, what the model is choosing from on the right."""

    TITLE = "Logitscope"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    NOTIFICATION_TIMEOUT = 3  # seconds: long enough for one sentence, and a small screen is covered by it
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (64, "-narrow"), (100, "-medium"), (150, "-wide")]  # noqa: RUF012 - Textual's interface
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-middle"), (50, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*actions.bindings()]

    def __init__(
        self,
        engine: EngineLink,
        settings: Settings,
        *,
        model: str = "",
        load: Load | None = None,
        given: Mapping[str, Any] | None = None,
        when_shown: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._when_shown = when_shown
        self._engine = engine
        self._toggled_at = 0  # the height at which the samplers were shown or folded by hand
        self._panes = panes = Panes(settings, model)
        self._opening = opening = OpenModel(load or Load(model=model))
        self._last_choice = last = LastToken(engine, panes.next_token)
        self._answering = answering = Replies(engine, panes, opening, last)
        self._tuning = tuning = LiveSettings(engine, panes, ChosenSettings(settings, given), last, answering)
        self._switching = switching = ModelSwitcher(engine, panes, opening, last, answering, tuning)
        self._models = ModelScreens(self, panes, opening, switching.switch)

    def compose(self) -> ComposeResult:
        yield from self._panes.compose()

    def on_mount(self) -> None:
        self._panes.prompt.focus()
        self._panes.transcript.add_note(wording.WELCOME)
        self.set_interval(1 / REDRAWS_PER_SECOND, self._listen)
        self.call_after_refresh(self._show_keys)

    async def _show_keys(self) -> None:
        """The line has a widget per key, which is a third of the work of the first frame: it comes after it."""
        from tui.widgets.key_line import KeyLine

        await self._panes.keys.mount(KeyLine())
        self._when_shown()
        self.set_timer(_PAUSE, parser)  # the first word of an answer is not to wait for it

    # --- what the engine says -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take everything that has come, then draw once."""
        for answer in self._engine.answers():
            self._take(answer)
        self._answering.draw()
        self._models.watch()

    def _take(self, answer: Answer) -> None:
        match answer:
            case Loading():
                self._switching.show_progress(answer)
            case Ready():
                self._switching.finish(answer)
            case Compiling(busy):
                self._panes.show_status(compiling=busy)
            case Told():
                self._answering.take(answer)
            case Inspected() if not self._answering.is_running:
                self._last_choice.show_inspected(answer)
            case Failed():
                self._answering.fail(answer)
                self._switching.fail(answer)

    # --- what the person does -----------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Below another screen the chat stays as it is: nobody would see what becomes of it."""
        return len(self.screen_stack) == 1 or not actions.is_in_chat_only(action)

    # --- the conversation ---------------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    def _say(self, event: Prompt.Submitted) -> None:
        self._answering.ask(event.text, self._tuning.settings)

    @on(Prompt.Refused)
    def _not_yet(self) -> None:
        self.notify("Escape stops the answer first; your text stays here.", title="Still writing")

    def action_again(self) -> None:
        if self._answering.is_running:
            self._not_yet()
        elif not self._answering.again(self._tuning.settings):
            self.notify("There is no message to answer yet.")

    def action_stop(self) -> None:
        opening = bool(self._opening.wanted)
        if opening:
            self._switching.cancel()
        if self._answering.is_running:
            self._answering.stop()
        elif not opening:
            self._panes.prompt.focus()

    def action_new_chat(self) -> None:
        self._answering.clear()
        self._panes.prompt.focus()

    # --- the settings and the models ----------------------------------------------------------------------------------

    @on(SettingChanged)
    def _setting_changed(self, event: SettingChanged) -> None:
        self._tuning.set(event.name, event.value)

    def action_nudge(self, delta: float) -> None:
        self._panes.temperature.nudge(delta)

    def action_reorder(self, order: Order) -> None:
        self._tuning.set("order", order)

    def action_models(self) -> None:
        self._models.toggle()

    # --- the screen itself --------------------------------------------------------------------------------------------

    async def action_scroll(self, where: str) -> None:
        """From the prompt too, the chat scrolls."""
        await self._panes.transcript.run_action(where)

    def action_unfold_thoughts(self) -> None:
        self._panes.transcript.unfold_all()

    def action_toggle_panels(self) -> None:
        self.screen.toggle_class("-no-panels")

    def action_toggle_samplers(self) -> None:
        """Show them where they are folded, fold them where they stand open; another height decides anew."""
        self.screen.toggle_class("-samplers")
        self._toggled_at = self.size.height

    def on_resize(self, event: events.Resize) -> None:
        if event.size.height != self._toggled_at:
            self.screen.remove_class("-samplers")

    def action_help(self) -> None:
        from tui.screens.help import HelpScreen  # not before it is asked for

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(tuple(actions.help_groups().items())))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield from actions.commands(self)

    async def action_quit(self) -> None:
        self._engine.close()
        self.exit()
