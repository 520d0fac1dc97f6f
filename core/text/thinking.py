"""Which part of a reply is thought and which is answer, for models that think aloud first. Must not know tokens.

The thought stands between two tags at the very beginning of a reply, or the prompt has already opened it. A tag
that is mentioned later is text.
"""

from __future__ import annotations

from typing import Literal

OPEN, CLOSE = "<think>", "</think>"


def opened_by(prompt: str) -> bool:
    """Whether a reply to this prompt (or to one that ends like this) begins inside a thought."""
    return prompt.rstrip().endswith(OPEN)


def split_thought(text: str, *, opened: bool = False) -> tuple[str, str]:
    """The thought and the answer of a reply that is over; see `ThoughtSplitter`."""
    splitter = ThoughtSplitter(opened=opened)
    thought, answer = splitter.push(text)
    thought_end, answer_end = splitter.flush()
    return thought + thought_end, answer + answer_end


class ThoughtSplitter:
    """Cuts a reply in two as it comes.

    Args:
        opened: the prompt has opened the thought.
    """

    def __init__(self, *, opened: bool = False) -> None:
        self.state: Literal["before", "thinking", "answering"] = "thinking" if opened else "before"
        self._held = ""  # what may turn out to be a tag

    @property
    def thinking(self) -> bool:
        return self.state == "thinking"

    def push(self, text: str) -> tuple[str, str]:
        """More of the reply: what it adds to the thought, and what to the answer. The tags are part of neither."""
        if self.state == "answering":
            return "", text
        text, self._held = self._held + text, ""
        if self.state == "before":
            begun = text.lstrip()
            if not begun.startswith(OPEN):
                if OPEN.startswith(begun):  # nothing yet, or half a tag
                    self._held = text
                    return "", ""
                self.state = "answering"
                return "", text
            self.state, text = "thinking", begun[len(OPEN) :]
        thought, closed, answer = text.partition(CLOSE)
        if closed:
            self.state = "answering"
            return thought, answer
        at = thought.rfind(CLOSE[0])
        if at >= 0 and CLOSE.startswith(thought[at:]):
            thought, self._held = thought[:at], thought[at:]
        return thought, ""

    def flush(self) -> tuple[str, str]:
        """What was held back, when nothing more is coming."""
        held, self._held = self._held, ""
        return (held, "") if self.thinking else ("", held)
