"""The screen: puts the panes side by side, passes on what the person does and what the engine says.

It computes nothing of its own: the conversation is `Chat`'s, the tokens are the engine's, the picture the widgets'.
Must not know torch.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from textual import events, on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.screen import Screen

from core.settings import ORDERS, Order, Settings
from core.step import Finished, Prefill, Step
from tui.chat import Chat
from tui.protocol import Answer, Change, EngineLink, Failed, Inspect, Inspected, Loading, Ready, Stop, Told
from tui.widgets.next_token import NextTokenPanel
from tui.widgets.prompt import Prompt
from tui.widgets.samplers import SamplersPanel
from tui.widgets.status import Status, StatusBar
from tui.widgets.temperature import STEP, TemperaturePanel
from tui.widgets.transcript import Transcript

REDRAWS_PER_SECOND = 15
_ENDS = {
    "end": "",
    "length": "stopped at the token limit",
    "stop string": "stopped at a stop string",
    "stopped": "stopped",
    "context": "the context is full",
}


_WELCOME = (
    "Say something. Ctrl+Up and Ctrl+Down move the temperature, also while it answers; the panel on the right shows "
    "what every token is chosen from. F1 explains every key and every number."
)
_POCKET = 100_000_000  # parameters; below, a model is to play with and to look inside of


class LogitscopeApp(App[None]):
    """Chat on the left, what the model is choosing from on the right."""

    TITLE = "Logitscope"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (64, "-narrow"), (100, "-medium"), (150, "-wide")]  # noqa: RUF012 - Textual's interface
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-middle"), (50, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "help", "Help", priority=True),
        Binding("escape", "stop", "Stop", priority=False),
        Binding("ctrl+down,alt+down", f"nudge({-STEP})", "Colder", key_display="^↓", priority=True),
        Binding("ctrl+up,alt+up", f"nudge({STEP})", "Hotter", key_display="^↑", priority=True),
        Binding("f2", "toggle_panels", "Panels", priority=True),
        Binding("f3", "toggle_samplers", "Samplers", priority=True),
        Binding("ctrl+r", "again", "Again", priority=True),
        Binding("ctrl+n", "new_chat", "New chat", priority=True),
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("pageup", "scroll('page_up')", "Scroll up", show=False),
        Binding("pagedown", "scroll('page_down')", "Scroll down", show=False),
        Binding("ctrl+home", "scroll('scroll_home')", "Beginning", show=False),
        Binding("ctrl+end", "scroll('scroll_end')", "End", show=False),
    ]

    def __init__(self, engine: EngineLink, settings: Settings, *, model: str = "") -> None:
        super().__init__()
        self._engine = engine
        self._settings = settings
        self._chat = Chat()
        self._status = Status(model=model)
        self._answer: int | None = None  # the transcript's message that is being written
        self._unwritten = ""  # of its text, what is not on the screen yet
        self._undrawn: Step | None = None
        self._count = 0  # of its tokens
        self._asked_at = self._first_token_at = 0.0
        self._dropped = 0
        self._toggled_at = 0
        self._inspectable = False  # the engine still has the last step in mind

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield Transcript(id="transcript")
                yield Prompt(id="prompt")
            with Vertical(id="panels"):
                yield TemperaturePanel(self._settings.temperature, id="temperature")
                yield NextTokenPanel(id="next-token")
                yield SamplersPanel(self._settings, id="samplers")
        yield StatusBar(self._status, id="status")
        yield Container(id="keys")

    def on_mount(self) -> None:
        self._transcript = self.query_one(Transcript)
        self._prompt = self.query_one(Prompt)
        self._panel = self.query_one(NextTokenPanel)
        self._status_bar = self.query_one(StatusBar)
        self._prompt.focus()
        self._transcript.model_name = self._status.model
        self._transcript.add_note(_WELCOME)
        self.set_interval(1 / REDRAWS_PER_SECOND, self._listen)
        self.call_after_refresh(self._show_keys)

    async def _show_keys(self) -> None:
        """The footer has a widget per key, which is a third of the work of the first frame: it comes after it."""
        from textual.widgets import Footer

        await self.query_one("#keys").mount(Footer())

    # --- what the person does -----------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    def _say(self, event: Prompt.Submitted) -> None:
        self._transcript.add("user", event.text)
        self._engine.send(self._chat.ask(event.text, self._settings))
        self._begin_answer()

    @on(Prompt.Refused)
    def _not_yet(self) -> None:
        self.notify("Escape stops the answer first; your text stays here.", title="Still writing")

    @on(TemperaturePanel.Changed)
    def _temperature_moved(self, event: TemperaturePanel.Changed) -> None:
        self._apply(replace(self._settings, temperature=event.value))

    @on(SamplersPanel.Changed)
    def _samplers_moved(self, event: SamplersPanel.Changed) -> None:
        self._apply(replace(event.settings, temperature=self._settings.temperature))

    def action_nudge(self, delta: float) -> None:
        self.query_one(TemperaturePanel).nudge(delta)

    def action_stop(self) -> None:
        if self._chat.running:
            self._engine.send(Stop())
        else:
            self._prompt.focus()

    def action_again(self) -> None:
        if self._chat.running:
            self._not_yet()
        elif (request := self._chat.again(self._settings)) is None:
            self.notify("There is no message to answer yet.")
        else:
            self._transcript.add_note("another answer")
            self._engine.send(request)
            self._begin_answer()

    def action_new_chat(self) -> None:
        self._engine.send(Stop())
        self._chat.clear()
        self._end_answer("")
        self._transcript.clear()
        self._panel.show(None)
        self._inspectable = False
        self._show(
            state="ready" if self._status.size else self._status.state,
            used=0,
            tokens_per_second=None,
            first_token_seconds=None,
        )
        self._prompt.focus()

    async def action_scroll(self, where: str) -> None:
        """From the prompt too, the chat scrolls."""
        await self._transcript.run_action(where)

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
        from tui.keys import GROUPS
        from tui.screens.help import HelpScreen  # not before it is asked for

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(GROUPS))

    async def action_quit(self) -> None:
        self._engine.close()
        self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield SystemCommand("New chat", "Forget this conversation and begin another", self.action_new_chat)
        yield SystemCommand("Another answer", "Answer the last message once more", self.action_again)
        yield SystemCommand("Stop", "Stop the answer that is being written", self.action_stop)
        yield SystemCommand("Panels", "Show or hide the panels on the right", self.action_toggle_panels)
        yield SystemCommand("Samplers", "Show or hide the samplers panel", self.action_toggle_samplers)
        for order in ORDERS:
            text = f"Run the samplers in the order {order} has"
            yield SystemCommand(f"Order: {order}", text, partial(self._reorder, order))

    def _reorder(self, order: Order) -> None:
        self._apply(replace(self._settings, order=order))

    def _apply(self, settings: Settings) -> None:
        """From now on choose like this; with nothing running, show at once what it would do to the last choice."""
        self._settings = settings
        self.query_one(SamplersPanel).show(settings)
        self._engine.send(Change(settings))
        if self._inspectable and not self._chat.running and self._chat.last_step is not None:
            self._engine.send(Inspect(position=self._chat.last_step.position, settings=settings))

    # --- what the engine says -----------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Take everything that has come, then draw once."""
        for answer in self._engine.answers():
            self._take(answer)
        self._draw()

    def _take(self, answer: Answer) -> None:
        match answer:
            case Loading():
                self._show(state="loading", what=answer.what, fraction=answer.fraction)
            case Ready():
                self._opened(answer)
            case Told(number, event) if number == self._chat.number and self._chat.running:
                self._take_event(event)
            case Inspected() if not self._chat.running:
                self._panel.show(
                    answer.prediction,
                    chosen=answer.chosen,
                    drawn=answer.drawn,
                    position=answer.position,
                    note=self._what_if(answer),
                )
            case Failed():
                self._failed(answer)

    def _take_event(self, event: Prefill | Step | Finished) -> None:
        match event:
            case Prefill():
                self._inspectable = False  # the engine may have forgotten that position to read this prompt
                self._show(state="reading", done=event.done, total=event.total, used=event.done)
                self._say_dropped(event.dropped)
            case Step():
                self._chat.step(event)
                self._unwritten += event.text
                self._count += 1
                if self._count == 1:
                    self._first_token_at = time.monotonic()
                self._undrawn = event
            case Finished():
                self._finished(event)

    def _draw(self) -> None:
        """Show what has been written since the last time."""
        if self._unwritten and self._answer is not None:
            self._transcript.append(self._answer, self._unwritten)
            self._unwritten = ""
        step, self._undrawn = self._undrawn, None
        if step is None:
            return
        self._inspectable = True
        self._panel.show(step.prediction, chosen=step.id, drawn=step.drawn, position=step.position)
        if self._chat.running:
            spent = time.monotonic() - self._first_token_at
            self._show(
                state="writing",
                used=step.position + 1,
                tokens_per_second=(self._count - 1) / spent if self._count > 1 and spent > 0 else None,
                first_token_seconds=self._first_token_at - self._asked_at,
            )

    def _begin_answer(self) -> None:
        self._answer = self._transcript.add("assistant")
        self._unwritten, self._undrawn, self._count = "", None, 0
        self._asked_at = time.monotonic()
        self._prompt.busy = True
        if self._status.size:
            self._show(state="reading", what="", done=0, total=0)

    def _end_answer(self, suffix: str) -> None:
        self._draw()
        if self._answer is not None:
            self._transcript.finish(self._answer, suffix)
        self._answer = None
        self._prompt.busy = False

    def _finished(self, end: Finished) -> None:
        text = self._chat.finish(end)
        if self._answer is not None:
            self._draw()
            self._transcript.set_text(self._answer, text)
        speed = end.tokens_per_second
        self._show(
            state="stopped" if end.reason == "stopped" else "ready",
            used=end.prompt_tokens + end.completion_tokens,
            tokens_per_second=speed if speed == speed else None,
            first_token_seconds=end.first_token_seconds,
        )
        self._end_answer(_ENDS[end.reason])
        if not text:
            self._give_back(f"{_ENDS[end.reason] or 'ended'} before the first word")

    def _failed(self, failure: Failed) -> None:
        if self._chat.running and (failure.dead or failure.number == self._chat.number):
            text = self._chat.break_off()
            self._end_answer("broken off")
            if not text:
                self._give_back("not answered")
        if failure.dead:
            self._inspectable = False
        self._transcript.add_note(f"{failure.message} {failure.hint}".strip(), "error")
        lasting = failure.dead or not self._status.size
        self._show(state="failed" if lasting else "ready", what="engine stopped" if failure.dead else "")

    def _give_back(self, why: str) -> None:
        """A message without an answer leaves the conversation and goes back to where it was typed."""
        text = self._chat.unasked()
        self._transcript.add_note(f"{why}: the message is back in the prompt" if not self._prompt.text else why)
        if not self._prompt.text:
            self._prompt.text = text

    def _opened(self, model: Ready) -> None:
        known = self._status.size > 0 and model.name == self._status.model  # its process had died
        self._transcript.model_name = model.name
        self._show(
            state="ready", what="", model=model.name, device=model.device, dtype=model.dtype, size=model.context_length
        )
        if not known:
            self._introduce(model)

    def _introduce(self, model: Ready) -> None:
        if not model.has_template:
            self._transcript.add_note("This model has no chat template: it continues the text you give it.")
        if model.n_parameters < _POCKET:
            millions = f"{model.n_parameters / 1e6:.1f} million"
            self._transcript.add_note(
                f"{model.name} is a pocket model of {millions} parameters, to play with and to look inside of: do not "
                "trust its facts. For real help open a bigger one with --model DIRECTORY."
            )

    def _say_dropped(self, dropped: int) -> None:
        if dropped > self._dropped:
            which = (
                "The oldest message no longer fits" if dropped == 1 else f"The {dropped} oldest messages no longer fit"
            )
            self._transcript.add_note(f"{which} in the context: the model does not see them any more.", "warning")
        self._dropped = dropped

    def _what_if(self, answer: Inspected) -> str:
        step = self._chat.last_step
        if step is None or step.position != answer.position or step.id == answer.chosen:
            return "the same dice choose the same token"
        return "the same dice would now choose another token"

    def _show(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
        self._status_bar.show(self._status)
