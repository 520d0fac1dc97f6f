"""The conversation so far and the reply being written, as a person sees them. Must not know torch or textual."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from core.conversation import Conversation, Message
from core.records import Finished, Token
from core.settings import Settings
from tui.engines.protocol import Reply


@dataclass
class Chat:
    """Who said what. A reply is numbered; whatever arrives for an older number is not ours any more."""

    conversation: Conversation = ()
    number: int = 0
    running: bool = False
    _ids: list[int] = field(default_factory=list)
    _text: str = ""
    _foreign: bool = False  # the ids of the reply under way are another model's

    def ask(self, text: str, settings: Settings) -> Reply:
        """The person says something."""
        self.conversation = (*self.conversation, Message(role="user", text=text))
        return self._reply(settings)

    def again(self, settings: Settings) -> Reply | None:
        """Another answer to the last message; None if there is nothing to answer."""
        kept = self.conversation
        while kept and kept[-1].role == "assistant":
            kept = kept[:-1]
        if not kept or self.running:
            return None
        self.conversation = kept
        return self._reply(settings)

    def write(self, token: Token) -> None:
        """The reply goes on."""
        self._text += token.text
        if not token.ends:
            self._ids.append(token.id)

    def finish(self, end: Finished) -> str:
        """The reply is over; returns its text."""
        return self._keep(end.text, end.ids)

    def break_off(self, *, with_ids: bool = True) -> str:
        """The engine is gone in the middle: what it has written so far is the reply; returns its text.

        Args:
            with_ids: the ids it told are those of the model's vocabulary.
        """
        return self._keep(self._text, tuple(self._ids) if with_ids else None)

    def unasked(self) -> str:
        """Take back the last message, which got no answer at all; returns its text."""
        self.running = False
        *rest, last = self.conversation
        self.conversation = tuple(rest)
        return last.text

    def clear(self) -> None:
        """Begin anew; a reply under way is no longer ours."""
        self.number += 1
        self.conversation, self.running = (), False

    def forget_ids(self) -> None:
        """From here on another model is spoken to: to it, what was said so far is text."""
        self.conversation = tuple(replace(message, ids=None) for message in self.conversation)
        self._foreign = True

    def _reply(self, settings: Settings) -> Reply:
        self.number += 1
        self.running, self._foreign = True, False
        self._ids, self._text = [], ""
        return Reply(number=self.number, conversation=self.conversation, settings=settings)

    def _keep(self, text: str, ids: tuple[int, ...] | None) -> str:
        self.running = False
        if text:
            message = Message(role="assistant", text=text, ids=None if self._foreign else ids)
            self.conversation = (*self.conversation, message)
        return text
