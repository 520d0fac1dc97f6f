"""The conversation on the screen: a message goes to the engine, its answer comes back as text, numbers and an end.

What was said is `Chat`'s, what of it is not drawn yet `LiveReply`'s. Must not know where the settings come from.
"""

from __future__ import annotations

from core.records import Finished, Prefill, Token
from core.settings import Settings
from tui.controllers import notes as wording
from tui.controllers.last_token import LastToken
from tui.controllers.live_reply import LiveReply
from tui.controllers.panes import Panes
from tui.engines.protocol import EngineLink, Failed, Reply, Stop, Told
from tui.session.chat import Chat
from tui.session.open_model import OpenModel


class Replies:
    """One answer at a time, from the question to its end."""

    def __init__(self, engine: EngineLink, panes: Panes, opening: OpenModel, last_choice: LastToken) -> None:
        self._engine = engine
        self._panes = panes
        self._opening = opening
        self._last_choice = last_choice
        self._chat = Chat()
        self._writing: LiveReply | None = None
        self._dropped = 0  # messages that the last prompt had no room for

    @property
    def is_running(self) -> bool:
        return self._chat.running

    # --- what is asked for --------------------------------------------------------------------------------------------

    def ask(self, text: str, settings: Settings) -> None:
        """The person says something."""
        self._panes.transcript.add("user", text)
        self._begin(self._chat.ask(text, settings))

    def again(self, settings: Settings) -> bool:
        """Another answer to the last message. Whether there is one to answer."""
        request = self._chat.again(settings)
        if request is None:
            return False
        self._panes.transcript.add_note("another answer")
        self._begin(request)
        return True

    def stop(self) -> None:
        """No more of this answer."""
        self._engine.send(Stop())

    def clear(self) -> None:
        """Forget the conversation; an answer under way is stopped, and what still comes of it ignored."""
        self.stop()
        self._chat.clear()
        self._end("")
        self._panes.transcript.clear()
        self._last_choice.clear()
        self._panes.show_status(
            state="ready" if self._opening.is_idle else self._panes.status.state,
            used=0,
            tokens_per_second=None,
            first_token_seconds=None,
            guesses=0,
        )

    def turn_to_another_model(self) -> None:
        """What was said so far stays, as text."""
        self.stop()
        self._chat.forget_ids()
        self._last_choice.engine_forgets()

    def rename(self, model: str) -> None:
        """This is who answers, also what was asked before it was certain."""
        self._panes.transcript.model_name = model
        if self._writing is not None:
            self._writing.rename(model)

    def _begin(self, request: Reply) -> None:
        self._engine.send(request)
        self._writing = LiveReply(self._panes.transcript)
        self._panes.prompt.busy = True
        if self._opening.is_idle:
            self._panes.show_status(state="reading", what="", done=0, total=0)

    # --- what comes of it ---------------------------------------------------------------------------------------------

    def take(self, told: Told) -> None:
        """Something has happened in an answer; it is ignored if that is not ours any more."""
        if told.number != self._chat.number or not self._chat.running:
            return
        match told.event:
            case Prefill():
                self._read(told.event)
            case Token():
                self._chat.write(told.event)
                if self._writing is not None:
                    self._writing.add(told.event)
            case Finished():
                self._finish(told.event)

    def draw(self, *, last: bool = False) -> None:
        """Show what has been written since the last time."""
        if self._writing is None:
            return
        self._writing.draw()
        record = self._writing.take_record(now=last)
        if record is None:
            return
        self._last_choice.show(record)
        if self._chat.running:
            self._panes.show_status(
                state="writing",
                used=record.position + 1,
                tokens_per_second=self._writing.tokens_per_second,
                first_token_seconds=self._writing.first_token_seconds,
            )

    def fail(self, failure: Failed) -> None:
        """The engine could not do something; perhaps that was to answer."""
        if self._chat.running and (failure.dead or failure.number == self._chat.number):
            text = self._chat.break_off()
            if self._writing is not None:
                self._writing.break_off(text)
            self._end("broken off" if text else "not answered")
            if not text:
                self._give_back("not answered")
        if failure.dead:
            self._last_choice.engine_forgets()

    def _read(self, event: Prefill) -> None:
        self._last_choice.engine_forgets()  # perhaps that position, to read this prompt
        self._panes.show_status(state="reading", done=event.done, total=event.total, used=event.done)
        if event.dropped > self._dropped:
            self._panes.transcript.add_note(wording.dropped(event.dropped), "warning")
        self._dropped = event.dropped
        if event.thinking and self._writing is not None:
            self._writing.open_thought()

    def _finish(self, end: Finished) -> None:
        text = self._chat.finish(end)
        if self._writing is not None:
            self.draw(last=True)
            self._writing.replace(end.shown)
        speed = end.tokens_per_second
        self._panes.show_status(
            state="stopped" if end.reason == "stopped" else "ready",
            used=end.prompt_tokens + end.completion_tokens,
            tokens_per_second=speed if speed == speed else None,
            first_token_seconds=end.first_token_seconds,
            guesses=end.guesses,
            right_guesses=end.right_guesses,
        )
        self._end(wording.ENDS[end.reason])
        if not text:
            self._give_back(f"{wording.ENDS[end.reason] or 'ended'} before the first word")

    def _end(self, suffix: str) -> None:
        self.draw(last=True)
        if self._writing is not None:
            self._writing.end(suffix)
        self._writing = None
        self._panes.prompt.busy = False

    def _give_back(self, why: str) -> None:
        """A message without an answer leaves the conversation and goes back to where it was typed."""
        text, prompt = self._chat.unasked(), self._panes.prompt
        self._panes.transcript.add_note(f"{why}: the message is back in the prompt" if not prompt.text else why)
        if not prompt.text:
            prompt.text = text
