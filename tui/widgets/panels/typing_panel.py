"""A panel into which a number can be typed. Must not know what the number means."""

from __future__ import annotations

from textual import events

from core.errors import BadSetting
from tui.sanitize import visible
from tui.widgets.panels.panel import Line, Panel, Span, wrapped

_OPENS = frozenset("0123456789.,-+")
_LONGEST = 24  # more digits than any setting has


class TypingPanel(Panel, can_focus=True):
    """A digit opens an entry, Enter offers it to `accept`, Escape forgets it.

    What is refused stays, with the reason beside it, until it is corrected or forgotten.
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._entry: str | None = None
        self.complaint = ""

    def accept(self, text: str) -> None:
        """Take what was typed.

        Raises:
            BadSetting: it is not what is wanted here.
        """
        raise NotImplementedError

    @property
    def is_typing(self) -> bool:
        return self._entry is not None

    @property
    def entry(self) -> list[Span]:
        """What has been typed so far, with a cursor."""
        return [(self._entry or "", "bold"), ("▏", "$text-accent")]

    def open_entry(self, text: str) -> None:
        """Begin to type."""
        self._entry = ""
        self._write(text)

    def close_entry(self) -> None:
        """Forget what was typed."""
        self._entry, self.complaint = None, ""
        self.redraw()

    def _write(self, text: str) -> None:
        self._entry, self.complaint = ((self._entry or "") + visible(text))[:_LONGEST], ""
        self.redraw()

    def _offer(self) -> None:
        try:
            self.accept((self._entry or "").strip())
        except BadSetting as error:
            self.complaint = str(error)
            self.redraw()
        else:
            self.close_entry()

    def _erase(self) -> None:
        self._entry, self.complaint = (self._entry or "")[:-1] or None, ""
        self.redraw()

    def on_key(self, event: events.Key) -> None:
        if self.is_typing and event.key in ("enter", "escape", "backspace"):
            {"enter": self._offer, "escape": self.close_entry, "backspace": self._erase}[event.key]()
        elif self.is_typing and event.is_printable and event.character:
            self._write(event.character)
        elif event.character and event.character in _OPENS:
            self.open_entry(event.character)
        else:
            return
        event.stop()
        event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        event.stop()
        self._write(" ".join(event.text[:1000].split()))

    def on_blur(self) -> None:
        self.close_entry()

    def complaint_lines(self, width: int) -> list[Line]:
        """Why the entry was refused."""
        return wrapped(self.complaint, width, "$text-error")
