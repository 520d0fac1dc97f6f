"""The chat pane: who said what. Must not know the engine or the conversation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from textual import events
from textual.binding import Binding, BindingType
from textual.selection import Selection

from core.conversation import Role
from tui.widgets.transcript.line_view import LineView
from tui.widgets.transcript.message import Level, TranscriptMessage
from tui.widgets.transcript.redraw_timer import SOON
from tui.widgets.transcript.selection import copied, whole


class Transcript(LineView, can_focus=True):
    """Messages that are added, grow and end; their thoughts are folded, their text can be selected."""

    ALLOW_SELECT = True
    ALLOW_MAXIMIZE = False
    DEFAULT_CSS = """
    Transcript {
        background: $background;
        color: $foreground;
        padding: 0 1;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-color: $foreground 20%;
    }
    Transcript:focus { scrollbar-color: $border; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home,ctrl+home", "scroll_home", "Beginning", show=False),
        Binding("end,ctrl+end", "scroll_end", "End", show=False),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._unfolded = False  # thoughts are shown
        self._pressed = 0  # the line under the mouse when its button went down

    # --- messages -----------------------------------------------------------------------------------------------------

    @property
    def messages(self) -> Sequence[tuple[str, str]]:
        """Who said what, in order; the program's own notes are told by "note"."""
        return [(message.role, message.text) for message in self._line_index.messages]

    def add(self, role: Role | Literal["note"], text: str = "", *, name: str = "") -> int:
        """A new message at the end; returns its index. One's own message is always brought into view.

        Args:
            name: of who says it; left out, it is told by the role.
        """
        self._following = self._following or role == "user"
        return self._add(TranscriptMessage(role, text, name=name))

    def add_note(self, text: str, level: Level = "info") -> int:
        """Something the program itself has to say; returns its index."""
        return self._add(TranscriptMessage("note", text, level=level))

    def append(self, index: int, delta: str, *, thought: str = "", thinking: bool = False) -> None:
        """More of a message. It is drawn soon, together with what else comes until then.

        Args:
            thought: more of what is thought before it is said.
            thinking: the thought is still open.
        """
        self._line_index.messages[index].append(delta, thought=thought, thinking=thinking)
        self._grow(index)

    def set_text(self, index: int, text: str, *, thought: str = "", thinking: bool = False) -> None:
        """This is what was said and thought instead."""
        self._line_index.messages[index].replace(text, thought=thought, thinking=thinking)
        self._change(index)

    def finish(self, index: int, suffix: str = "") -> None:
        """The message is complete; the suffix says how it ended."""
        self._line_index.messages[index].finish(suffix)
        self._change(index)

    def rename(self, index: int, name: str) -> None:
        """Somebody else says it."""
        self._line_index.messages[index].rename(name)
        self._change(index)

    def text_of(self, index: int) -> str:
        return self._line_index.messages[index].text

    def clear(self) -> None:
        """Forget all messages."""
        if self.is_attached:
            self.screen.clear_selection()
        self._line_index.messages.clear()
        self._following = True
        self._strips.clear()
        self._change(0)

    def _add(self, message: TranscriptMessage) -> int:
        message.unfold(self._unfolded)
        self._line_index.messages.append(message)
        index = len(self._line_index.messages) - 1
        self._change(index, SOON)
        return index

    # --- thoughts -----------------------------------------------------------------------------------------------------

    def count_thought(self, index: int, tokens: int) -> None:
        """The message's thought is so many tokens long by now."""
        if self._line_index.messages[index].count_thought(tokens):
            self._grow(index)

    def unfold_all(self) -> None:
        """Show every thought, those to come too, or fold them all."""
        self._unfolded = not self._unfolded
        for message in self._line_index.messages:
            message.unfold(self._unfolded)
        self._change(0)

    def on_click(self, event: events.Click) -> None:
        """A click on the line that stands for a thought unfolds it or folds it, and the line stays where it is."""
        position = self._line_index.find(self.scroll_offset.y + event.y)
        if position is None or not self._line_index.messages[position.message].is_fold(position.row):
            return
        message = self._line_index.messages[position.message]
        self._following = False
        message.unfold(not message.is_unfolded)
        self._change(position.message)
        self._following = self.scroll_offset.y >= self.max_scroll_y

    # --- selecting ----------------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return copied(self._line_index.messages, self._line_index.width, selection), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._pressed = self.scroll_offset.y + event.y

    def text_select_all(self) -> None:
        """A double click selects the message under the mouse."""
        position = self._line_index.find(self._pressed)
        if position is not None:
            body = self._line_index.messages[position.message].body
            self.screen.selections = {self: whole(position.message, body)}
