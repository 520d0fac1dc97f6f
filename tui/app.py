"""The screen: passes on what the person does and what the engine says, to whom it concerns.

It computes nothing of its own, and draws nothing: the panes do. Must not know torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

from textual import events, on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.driver import Driver
from textual.screen import Screen

from core.settings import Order, Settings
from tui import actions
from tui.controllers import notes
from tui.controllers.last_token import LastToken
from tui.controllers.model_screens import ModelScreens
from tui.controllers.models import ModelSwitcher
from tui.controllers.panes import Panes
from tui.controllers.replies import Replies
from tui.controllers.settings import LiveSettings
from tui.engines.protocol import Answer, Compiling, EngineLink, Failed, Inspected, Load, Loading, Ready, Told
from tui.session.chosen_settings import ChosenSettings
from tui.session.engine_state import EngineState, EngineStateHolder
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
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(driver_class)
        self._when_shown = when_shown
        self._engine = engine
        self._toggled_at = 0  # the height at which the samplers were shown or folded by hand
        self._state = state = EngineStateHolder(EngineState(model=model))
        self._panes = panes = Panes(settings, state)
        self._open_model = open_model = OpenModel(load or Load(model=model))
        self._last_token = last_token = LastToken(engine, open_model, panes.next_token)
        self._replies = replies = Replies(engine, state, open_model, panes, last_token)
        self._settings = LiveSettings(engine, open_model, panes, ChosenSettings(settings, given), last_token, replies)
        self._model_switcher = ModelSwitcher(engine, state, open_model, panes, last_token, replies, self._settings)
        self._model_screens = ModelScreens(self, state, open_model, panes, self._model_switcher.switch)

    def compose(self) -> ComposeResult:
        yield from self._panes.compose()

    def on_mount(self) -> None:
        self._panes.prompt.focus()
        self._panes.transcript.add_note(notes.WELCOME)
        self.set_interval(1 / REDRAWS_PER_SECOND, self._listen)
        self.call_after_refresh(self._show_keys)

    async def _show_keys(self) -> None:
        """The line has a widget per key, which is a third of the work of the first frame: it comes after it."""
        from tui.widgets.key_line import KeyLine

        if not self._panes.keys.is_attached:  # the program is ending already
            return
        await self._panes.keys.mount(KeyLine())
        self._when_shown()
        self.set_timer(_PAUSE, parser)  # the first word of an answer is not to wait for it

    # --- what the engine says -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take everything that has come, then draw once."""
        for answer in self._engine.answers():
            self._take(answer)
        self._replies.draw()
        self._model_screens.watch()

    def _take(self, answer: Answer) -> None:
        match answer:
            case Loading():
                self._model_switcher.show_progress(answer)
            case Ready():
                self._model_switcher.finish(answer)
            case Compiling(busy):
                self._state.compiling(busy)
            case Told():
                self._replies.take(answer)
            case Inspected() if not self._replies.is_running:
                self._last_token.show_inspected(answer)
            case Failed():
                self._replies.fail(answer)
                self._model_switcher.fail(answer)

    # --- what the person does -----------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool:
        """Below another screen the chat stays as it is: nobody would see what becomes of it."""
        return len(self.screen_stack) == 1 or not actions.is_in_chat_only(action)

    # --- the conversation ---------------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    def _say(self, event: Prompt.Submitted) -> None:
        self._replies.ask(event.text, self._settings.settings)

    @on(Prompt.Refused)
    def _not_yet(self) -> None:
        self.notify("Escape stops the answer first; your text stays here.", title="Still writing")

    def action_again(self) -> None:
        if self._replies.is_running:
            self._not_yet()
        elif not self._replies.again(self._settings.settings):
            self.notify("There is no message to answer yet.")

    def action_stop(self) -> None:
        is_opening = bool(self._open_model.wanted)
        if is_opening:
            self._model_switcher.cancel()
        if self._replies.is_running:
            self._replies.stop()
        elif not is_opening:
            self._panes.prompt.focus()

    def action_new_chat(self) -> None:
        self._replies.clear()
        self._panes.prompt.focus()

    # --- the settings and the models ----------------------------------------------------------------------------------

    @on(SettingChanged)
    def _setting_changed(self, event: SettingChanged) -> None:
        self._settings.set(event.name, event.value)

    def action_nudge(self, delta: float) -> None:
        self._settings.nudge_temperature(delta)

    def action_reorder(self, order: Order) -> None:
        self._settings.set("order", order)

    def action_models(self) -> None:
        self._model_screens.toggle()

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

    @property
    def failure(self) -> Exception | None:
        """A fault of the program's own, which has ended the screen."""
        return self._exception

    def _print_error_renderables(self) -> None:
        """Textual's tracebacks are not for the person: whoever has started the screen says what it ended with."""
        self._exit_renderables.clear()

    async def action_quit(self) -> None:
        self._engine.close()
        self.exit()
