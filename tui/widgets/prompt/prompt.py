"""Where the person types a message: Enter sends it, Up brings back earlier ones. Must not know who answers.

All that is typed or pasted goes through `sanitize.visible`: what is seen is what is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.document._document import EditResult, Location
from textual.document._edit import Edit
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import TextArea

from tui.sanitize import visible
from tui.session.prompt_history import History
from tui.widgets.prompt.paste import Pastes

_NOT_OURS = frozenset(("pageup", "pagedown", "f6", "f7"))  # left to whoever scrolls the chat, and to the application


class Prompt(TextArea, inherit_bindings=False):
    """A text area of one to eight rows. While an answer is being written the person may go on typing."""

    DEFAULT_CSS = """
    Prompt {
        height: auto;
        min-height: 3;
        max-height: 10;
        padding: 0 1;
        background: $background;
        border: round $foreground 35%;
        border-subtitle-color: $foreground 60%;
        scrollbar-size-vertical: 1;
    }
    Prompt:focus { border: round $border; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(binding for binding in TextArea.BINDINGS if isinstance(binding, Binding) and binding.key not in _NOT_OURS),
        Binding("enter", "submit", "Send", show=False),
        Binding("ctrl+j,shift+enter,alt+enter", "new_line", "New line", show=False),
    ]

    busy = reactive(False)
    """Whether an answer is being written, so that nothing can be sent."""

    @dataclass
    class Submitted(Message):
        """The person sends this."""

        text: str

    class Refused(Message):
        """The person wants to send, but the prompt is busy; the text stays."""

    def __init__(self, *, history: History | None = None, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        self._pasted = Pastes()
        super().__init__(
            id=id,
            classes=classes,
            highlight_cursor_line=False,
            placeholder="Enter sends, Ctrl+J: new line",
        )
        self.match_cursor_bracket = False
        self._history = history
        self._at: int | None = None  # which earlier message is shown; None: the one that is being written
        self._written: dict[int | None, str] = {}  # what has been changed but not sent: nothing typed is lost

    # --- the text -----------------------------------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """What would be sent, long pastes unfolded."""
        return self._pasted.unfold(self.document.text)

    @text.setter
    def text(self, value: str) -> None:
        self.load_text(value)

    def give_back(self, text: str) -> bool:
        """Put a message back that was sent, unless another is being written. Whether it is back."""
        if self.text:
            return False
        self.text = text
        return True

    @property
    def selected_text(self) -> str:
        return self._pasted.unfold(super().selected_text)

    def load_text(self, text: str) -> None:
        super().load_text(self._pasted.fold(visible(text)))
        self.move_cursor(self.document.end)

    def edit(self, edit: Edit) -> EditResult:
        """Every change comes through here, typed, pasted or from a program."""
        start, end = self._around_labels(*sorted((edit.from_location, edit.to_location)))
        text = self._pasted.fold(visible(edit.text))
        return super().edit(Edit(text, start, end, edit.maintain_selection_offset))

    def _around_labels(self, start: Location, end: Location) -> tuple[Location, Location]:
        """A label goes as a whole, and nothing is written into one."""
        if start == end:
            for left, right in self._labels(start[0]):
                if left < start < right:
                    return right, right
            return start, end
        for left, right in self._labels(start[0]):
            if left < start < right:
                start = left
        for left, right in self._labels(end[0]):
            if left < end < right:
                end = right
        return start, end

    def _labels(self, row: int) -> list[tuple[Location, Location]]:
        if row >= self.document.line_count:
            return []
        return [((row, left), (row, right)) for left, right in self._pasted.labels(self.document.get_line(row))]

    def action_cut(self) -> None:
        text = self.selected_text
        super().action_cut()
        if text:
            self.app.copy_to_clipboard(text)

    # --- sending ------------------------------------------------------------------------------------------------------

    def action_submit(self) -> None:
        text = self.text
        if not text.strip():
            return
        if self.busy:
            self.post_message(self.Refused())
            return
        self.past.add(text)
        self._at = None
        self._written.clear()
        self._pasted.clear()
        self.load_text("")
        self.post_message(self.Submitted(text))

    def action_new_line(self) -> None:
        self._replace_via_keyboard("\n", *self.selection)

    def watch_busy(self, busy: bool) -> None:
        self.border_subtitle = "Escape stops the answer" if busy else ""

    async def _on_key(self, event: events.Key) -> None:
        """Act on our keys here and now: a binding would wait until the characters typed after it have been written."""
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return

    # --- earlier messages ---------------------------------------------------------------------------------------------

    @property
    def past(self) -> History:
        """What was sent before; read when it is first wanted."""
        if self._history is None:
            self._history = History()
        return self._history

    def action_cursor_up(self, select: bool = False) -> None:
        at = len(self.past.texts) if self._at is None else self._at
        if select or at == 0 or not self.navigator.is_first_wrapped_line(self.cursor_location):
            super().action_cursor_up(select)
        else:
            self._show_message(at - 1)

    def action_cursor_down(self, select: bool = False) -> None:
        if select or self._at is None or not self.navigator.is_last_wrapped_line(self.cursor_location):
            super().action_cursor_down(select)
        else:
            self._show_message(self._at + 1 if self._at + 1 < len(self.past.texts) else None)

    def _show_message(self, at: int | None) -> None:
        self._written[self._at] = self.text
        self._at = at
        self.load_text(self._written.get(at, "" if at is None else self.past.texts[at]))
