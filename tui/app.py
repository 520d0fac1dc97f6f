"""The screen: puts the panes side by side, passes on what the person does and what the engine says.

It computes nothing of its own: the conversation is `Chat`'s, the tokens are the engine's, the picture the widgets'.
Must not know torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events, on
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.screen import Screen

from core.settings import Order, Settings
from core.step import Finished, Prefill, Token
from tui import palette, wording
from tui.bindings import BINDINGS
from tui.chat import Chat
from tui.choices import Choices
from tui.opening import Opening
from tui.protocol import (
    Answer,
    Cancel,
    Change,
    EngineLink,
    Failed,
    Inspect,
    Inspected,
    Load,
    Loading,
    Ready,
    Stop,
    Told,
)
from tui.widgets.markdown import parser
from tui.widgets.next_token import NextTokenPanel
from tui.widgets.prompt import Prompt
from tui.widgets.samplers import SamplersPanel
from tui.widgets.status import Status, StatusBar
from tui.widgets.temperature import TemperaturePanel
from tui.widgets.transcript import Transcript
from tui.writing import Writing
from weights.shelf import ShelfEntry

if TYPE_CHECKING:
    from tui.fetching import Fetching

REDRAWS_PER_SECOND = 12  # what the screen takes from two processors, a model that uses both must wait for
_PAUSE = 0.3  # seconds after the first frame, when nobody has typed a message yet


class LogitscopeApp(App[None]):
    """Chat on the left, what the model is choosing from on the right."""

    TITLE = "Logitscope"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (64, "-narrow"), (100, "-medium"), (150, "-wide")]  # noqa: RUF012 - Textual's interface
    VERTICAL_BREAKPOINTS = [(0, "-low"), (34, "-middle"), (50, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]

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
        self._choices = Choices(settings, given)
        self._chat = Chat()
        self._status = Status(model=model)
        self._opening = Opening(load or Load(model=model))
        self._writing: Writing | None = None
        self._dropped = 0
        self._toggled_at = 0
        self._inspectable = False  # the engine still has the last step in mind
        self._fetching: Fetching | None = None

    def compose(self) -> ComposeResult:
        with Horizontal(id="main"):
            with Vertical(id="left"):
                yield Transcript(id="transcript")
                yield Prompt(id="prompt")
            with Vertical(id="panels"):
                yield TemperaturePanel(self._choices.settings.temperature, id="temperature")
                yield NextTokenPanel(id="next-token")
                yield SamplersPanel(self._choices.settings, id="samplers")
        yield StatusBar(self._status, id="status")
        yield Container(id="keys")

    def on_mount(self) -> None:
        self._transcript = self.query_one(Transcript)
        self._prompt = self.query_one(Prompt)
        self._panel = self.query_one(NextTokenPanel)
        self._status_bar = self.query_one(StatusBar)
        self._prompt.focus()
        self._transcript.model_name = self._status.model
        self._transcript.add_note(wording.WELCOME)
        self.set_interval(1 / REDRAWS_PER_SECOND, self._listen)
        self.call_after_refresh(self._show_keys)

    async def _show_keys(self) -> None:
        """The footer has a widget per key, which is a third of the work of the first frame: it comes after it."""
        from textual.widgets import Footer

        await self.query_one("#keys").mount(Footer())
        self._when_shown()
        self.set_timer(_PAUSE, parser)  # the first word of an answer is not to wait for it

    # --- what the person does -----------------------------------------------------------------------------------------

    @on(Prompt.Submitted)
    def _say(self, event: Prompt.Submitted) -> None:
        self._transcript.add("user", event.text)
        self._engine.send(self._chat.ask(event.text, self._choices.settings))
        self._begin_answer()

    @on(Prompt.Refused)
    def _not_yet(self) -> None:
        self.notify("Escape stops the answer first; your text stays here.", title="Still writing")

    @on(TemperaturePanel.Changed)
    def _temperature_moved(self, event: TemperaturePanel.Changed) -> None:
        self._apply(replace(self._choices.settings, temperature=event.value))

    @on(SamplersPanel.Changed)
    def _samplers_moved(self, event: SamplersPanel.Changed) -> None:
        self._apply(replace(event.settings, temperature=self._choices.settings.temperature))

    def action_nudge(self, delta: float) -> None:
        self.query_one(TemperaturePanel).nudge(delta)

    def action_stop(self) -> None:
        if self._opening.wanted:
            self._engine.send(Cancel())
        if self._chat.running:
            self._engine.send(Stop())
        elif not self._opening.wanted:
            self._prompt.focus()

    def action_again(self) -> None:
        if self._chat.running:
            self._not_yet()
        elif (request := self._chat.again(self._choices.settings)) is None:
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
            state="ready" if self._is_idle else self._status.state,
            used=0,
            tokens_per_second=None,
            first_token_seconds=None,
            guesses=0,
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

    def action_unfold_thoughts(self) -> None:
        self._transcript.unfold_all()

    def action_help(self) -> None:
        from tui.keys import GROUPS
        from tui.screens.help import HelpScreen  # not before it is asked for

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen(GROUPS))

    def action_models(self) -> None:
        """Show them; from there, and from fetching one, back to the chat."""
        from tui.fetching import Fetching  # neither before it is asked for
        from tui.screens.fetch import FetchScreen
        from tui.screens.models import ModelsScreen
        from weights.memory import BITS
        from weights.room import room_without_torch
        from weights.shelf import listing

        if any(isinstance(screen, ModelsScreen) for screen in self.screen_stack):
            while len(self.screen_stack) > 1:
                self.pop_screen()
            return
        self._fetching = self._fetching or Fetching()
        dtype = self._opening.load.dtype or self._status.precision
        room = partial(room_without_torch, self._status.device or "cpu", dtype if dtype in BITS else "float32")
        fetch = partial(FetchScreen, self._fetching, room)
        self.push_screen(ModelsScreen(listing, current=self._status.model, fetch=fetch), self._switch)

    def _switch(self, entry: ShelfEntry | None) -> None:
        """Go on with another model; the conversation stays."""
        if entry is None or (entry.name == self._status.model and self._opening.is_open and not self._opening.wanted):
            return
        self._engine.send(Stop())
        self._chat.forget_ids()
        self._inspectable = False
        self._engine.send(self._opening.switch(entry))
        self._show(state="loading", what=entry.name, fraction=0.0)

    async def action_quit(self) -> None:
        self._engine.close()
        self.exit()

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        yield from super().get_system_commands(screen)
        yield from palette.commands(self)

    def action_reorder(self, order: Order) -> None:
        self._apply(replace(self._choices.settings, order=order))

    def _apply(self, settings: Settings) -> None:
        """The person wants it like this."""
        self._choices.choose(settings)
        self._choose_so()

    def _choose_so(self) -> None:
        """From now on; with nothing running, show at once what it would do to the last choice."""
        settings = self._choices.settings
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
        if self._fetching is not None:
            self._watch(self._fetching)

    def _watch(self, fetching: Fetching) -> None:
        """A model that is fetched while one chats: a word in the status line, and a note at the end."""
        self._show(fetching=wording.fetching(fetching.now))
        if (end := fetching.take_end()) is None:
            return
        from tui.screens.fetch import FetchScreen  # which says so itself

        if not isinstance(self.screen, FetchScreen):
            self._transcript.add_note(wording.fetched(end), "error" if end.phase == "failed" else "info")

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
                    note=wording.what_if(answer, self._chat.last_step),
                )
            case Failed():
                self._failed(answer)

    def _take_event(self, event: Prefill | Token | Finished) -> None:
        match event:
            case Prefill():
                self._inspectable = False  # the engine may have forgotten that position to read this prompt
                self._show(state="reading", done=event.done, total=event.total, used=event.done)
                if event.dropped > self._dropped:
                    self._transcript.add_note(wording.dropped(event.dropped), "warning")
                self._dropped = event.dropped
                if event.thinking and self._writing is not None:
                    self._writing.open_thought()
            case Token():
                self._chat.write(event)
                if self._writing is not None:
                    self._writing.add(event)
            case Finished():
                self._finished(event)

    def _draw(self, *, last: bool = False) -> None:
        """Show what has been written since the last time."""
        if self._writing is None:
            return
        self._writing.draw()
        step = self._writing.take_step(now=last)
        if step is None:
            return
        self._inspectable = True
        self._panel.show(step.prediction, chosen=step.id, drawn=step.drawn, position=step.position)
        if self._chat.running:
            self._show(
                state="writing",
                used=step.position + 1,
                tokens_per_second=self._writing.tokens_per_second,
                first_token_seconds=self._writing.first_token_seconds,
            )

    def _begin_answer(self) -> None:
        self._writing = Writing(self._transcript)
        self._prompt.busy = True
        if self._is_idle:
            self._show(state="reading", what="", done=0, total=0)

    def _end_answer(self, suffix: str) -> None:
        self._draw(last=True)
        if self._writing is not None:
            self._writing.end(suffix)
        self._writing = None
        self._prompt.busy = False

    def _finished(self, end: Finished) -> None:
        text = self._chat.finish(end)
        if self._writing is not None:
            self._draw(last=True)
            self._writing.replace(text)
        speed = end.tokens_per_second
        self._show(
            state="stopped" if end.reason == "stopped" else "ready",
            used=end.prompt_tokens + end.completion_tokens,
            tokens_per_second=speed if speed == speed else None,
            first_token_seconds=end.first_token_seconds,
            guesses=end.guesses,
            right_guesses=end.right_guesses,
        )
        self._end_answer(wording.ENDS[end.reason])
        if not text:
            self._give_back(f"{wording.ENDS[end.reason] or 'ended'} before the first word")

    def _failed(self, failure: Failed) -> None:
        if self._chat.running and (failure.dead or failure.number == self._chat.number):
            text = self._chat.break_off()
            self._end_answer("broken off")
            if not text:
                self._give_back("not answered")
        if failure.dead:
            self._inspectable = False
        which = f"{self._opening.wanted} was not opened: " if self._opening.wanted and failure.load else ""
        self._transcript.add_note(f"{which}{failure.message} {failure.hint}".strip(), "error")
        if failure.dead or failure.load is not None:
            self._opening.failed(failure.load)
        lasting = failure.dead or not self._opening.is_open
        self._show(state="failed" if lasting else "ready", what="engine stopped" if failure.dead else "")

    def _give_back(self, why: str) -> None:
        """A message without an answer leaves the conversation and goes back to where it was typed."""
        text = self._chat.unasked()
        self._transcript.add_note(f"{why}: the message is back in the prompt" if not self._prompt.text else why)
        if not self._prompt.text:
            self._prompt.text = text

    def _opened(self, model: Ready) -> None:
        name, outcome = self._opening.wanted, self._opening.done(model)
        self._transcript.model_name = model.name
        self._show(
            state="ready",
            what="",
            model=model.name,
            device=model.device,
            precision=model.precision,
            in_torch=model.why_torch is not None,
            size=model.context_length,
        )
        if self._writing is not None:
            self._writing.rename(model.name)
        if outcome == "switched":
            self._panel.show(None)
            self._show(used=0, tokens_per_second=None, first_token_seconds=None, guesses=0)
        for sentence in wording.opened(model, outcome, name, self._choices.given):
            self._transcript.add_note(sentence)
        if self._choices.recommend(model.sampling):
            self.query_one(TemperaturePanel).set_value(self._choices.settings.temperature)
            self._choose_so()

    @property
    def _is_idle(self) -> bool:
        """Whether a model is open and none is being opened."""
        return self._opening.is_open and not self._opening.wanted

    def _show(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)
        self._status_bar.show(self._status)
