"""The conversation on the screen: a message goes to the engine, its answer comes back as text, numbers and an end.

What was said is `Chat`'s, what of it is not drawn yet `LiveReply`'s. Must not know where the settings come from.
"""

from __future__ import annotations

from core.records import Finished, Prefill, Token
from core.settings import Settings
from tui.controllers import notes
from tui.controllers.last_token import LastToken
from tui.controllers.live_reply import LiveReply
from tui.controllers.panes import Panes
from tui.engines.protocol import EngineLink, Failed, Reply, Stop, Told
from tui.session.chat import Chat
from tui.session.engine_state import EngineStateHolder
from tui.session.open_model import OpenModel


class Replies:
    """One answer at a time, from the question to its end."""

    def __init__(
        self, engine: EngineLink, state: EngineStateHolder, open_model: OpenModel, panes: Panes, last_token: LastToken
    ) -> None:
        self._engine = engine
        self._state = state
        self._open_model = open_model
        self._panes = panes
        self._last_token = last_token
        self._chat = Chat()
        self._live_reply: LiveReply | None = None
        self._dropped = 0  # messages that the last prompt had no room for
        self._remarks: set[str] = set()  # what has been said of how this model's prompts are made

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
        self._remarks.clear()
        self._end("")
        self._panes.transcript.clear()
        self._last_token.clear()
        self._state.forget_reply(ready=self._open_model.is_idle)

    def turn_to_another_model(self) -> None:
        """What was said so far stays, as text."""
        self.stop()
        self._chat.forget_ids()
        self._remarks.clear()
        self._last_token.engine_forgets()

    def rename(self, model: str) -> None:
        """This is who answers, also what was asked before it was certain."""
        if self._live_reply is not None:
            self._live_reply.rename(model)

    def _begin(self, request: Reply) -> None:
        self._engine.send(request)
        self._live_reply = LiveReply(self._panes.transcript, self._state.now.model)
        self._panes.prompt.busy = True
        if self._open_model.is_idle:
            self._state.asked()

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
                if self._live_reply is not None:
                    self._live_reply.add(told.event)
            case Finished():
                self._finish(told.event)

    def draw(self, *, last: bool = False) -> None:
        """Show what has been written since the last time."""
        if self._live_reply is None:
            return
        self._live_reply.draw()
        record = self._live_reply.take_record(now=last)
        if record is None:
            return
        self._last_token.show(record)
        if self._chat.running:
            self._state.writing(
                used=record.position + 1,
                tokens_per_second=self._live_reply.tokens_per_second,
                first_token_seconds=self._live_reply.first_token_seconds,
            )

    def fail(self, failure: Failed) -> None:
        """The engine could not do something; perhaps that was to answer."""
        if self._chat.running and (failure.dead or failure.number == self._chat.number):
            text = self._chat.break_off(with_ids=self._open_model.capabilities.token_ids)
            if self._live_reply is not None:
                self._live_reply.break_off(text)
            self._end("broken off" if text else "not answered")
            if not text:
                self._give_back("not answered")
        if failure.dead:
            self._last_token.engine_forgets()

    def _read(self, event: Prefill) -> None:
        self._last_token.engine_forgets()  # perhaps that position, to read this prompt
        self._state.reading(event.done, event.total)
        if event.dropped > self._dropped:
            self._panes.transcript.add_note(notes.dropped(event.dropped), "warning")
        self._dropped = event.dropped
        for remark in event.remarks:
            if remark not in self._remarks:
                self._panes.transcript.add_note(remark, "warning")
        self._remarks.update(event.remarks)
        if event.thinking and self._live_reply is not None:
            self._live_reply.open_thought()

    def _finish(self, end: Finished) -> None:
        text = self._chat.finish(end)
        if self._live_reply is not None:
            self.draw(last=True)
            self._live_reply.replace(end.shown)
        speed = end.tokens_per_second
        self._state.finished(
            stopped=end.reason == "stopped",
            used=end.prompt_tokens + end.completion_tokens,
            tokens_per_second=speed if speed == speed else None,
            first_token_seconds=end.first_token_seconds,
            guesses=end.guesses,
            right_guesses=end.right_guesses,
        )
        self._end(notes.ENDS[end.reason])
        if not text:
            self._give_back(f"{notes.ENDS[end.reason] or 'ended'} before the first word")

    def _end(self, suffix: str) -> None:
        self.draw(last=True)
        if self._live_reply is not None:
            self._live_reply.end(suffix)
        self._live_reply = None
        self._panes.prompt.busy = False

    def _give_back(self, why: str) -> None:
        """A message without an answer leaves the conversation and goes back to where it was typed."""
        is_back = self._panes.prompt.give_back(self._chat.unasked())
        self._panes.transcript.add_note(f"{why}: the message is back in the prompt" if is_back else why)
