"""What there is to know of one thing the chat can be asked to do. Must not know which there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding

Group = Literal["Talking", "Temperature, from anywhere", "Samplers", "The screen"]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One thing the application does.

    Args:
        id: its name in a keymap.
        call: the application's action with its arguments, as Textual writes them.
        keys: that do it, as Textual names them; empty: it has none.
        shown_key: in the footer, where Textual would write something longer.
        priority: whether the keys do it even where a widget has a use of its own for them.
        title: in the footer and in the palette.
        in_footer: whether the line of keys shows it.
        place: among the bindings; the footer has the same order.
        in_chat_only: its effect can be seen in the chat alone, so below another screen it does nothing.
        group: of the help screen.
        help: what the help screen says; empty: the line of another action tells of it, or none.
        help_keys: the keys as the help screen writes them, where the line tells of more than these.
        palette: what the command palette says that it does; empty: it is not there.
        palette_title: its name in the palette, if it is another one.
        palette_place: in the palette, among those that match equally well.
    """

    id: str
    call: str
    keys: str = ""
    shown_key: str | None = None
    priority: bool = True
    title: str
    in_footer: bool = False
    place: int = 99
    in_chat_only: bool = False
    group: Group
    help: str = ""
    help_keys: str = ""
    palette: str = ""
    palette_title: str = ""
    palette_place: int = 99

    @property
    def name(self) -> str:
        """The action without its arguments."""
        return self.call.partition("(")[0]

    @property
    def binding(self) -> Binding:
        return Binding(
            self.keys,
            self.call,
            self.title,
            show=self.in_footer,
            key_display=self.shown_key,
            priority=self.priority,
            id=self.id,
        )

    @property
    def help_line(self) -> tuple[str, str]:
        """Keys and explanation."""
        keys = ("+".join(part.capitalize() for part in key.split("+")) for key in self.keys.split(","))
        return self.help_keys or ", ".join(keys), self.help


@dataclass(frozen=True, kw_only=True)
class WidgetKeys:
    """Keys of one widget or of Textual, which bind them themselves: a line of the help screen."""

    group: Group
    keys: str
    help: str

    @property
    def help_line(self) -> tuple[str, str]:
        return self.keys, self.help
