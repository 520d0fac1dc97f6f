"""The keys that act wherever the person is. Those of one pane stand with it; must not know what the actions do."""

from __future__ import annotations

from textual.binding import Binding

from tui.widgets.panels.temperature import STEP

BINDINGS = (
    Binding("f1", "help", "Help", priority=True),
    Binding("escape", "stop", "Stop", priority=False),
    Binding("ctrl+down,alt+down", f"nudge({-STEP})", "Colder", key_display="^↓", priority=True),
    Binding("ctrl+up,alt+up", f"nudge({STEP})", "Hotter", key_display="^↑", priority=True),
    Binding("ctrl+o", "models", "Models", priority=True),
    Binding("f2", "toggle_panels", "Panels", priority=True),
    Binding("f3", "toggle_samplers", "Samplers", priority=True),
    Binding("ctrl+r", "again", "Again", priority=True),
    Binding("ctrl+t", "unfold_thoughts", "Thoughts", show=False, priority=True),
    Binding("ctrl+n", "new_chat", "New chat", priority=True),
    Binding("ctrl+q", "quit", "Quit", priority=True),
    Binding("pageup", "scroll('page_up')", "Scroll up", show=False),
    Binding("pagedown", "scroll('page_down')", "Scroll down", show=False),
    Binding("ctrl+home", "scroll('scroll_home')", "Beginning", show=False),
    Binding("ctrl+end", "scroll('scroll_end')", "End", show=False),
)

OF_THE_CHAT = frozenset(("again", "new_chat", "nudge", "scroll", "toggle_panels", "toggle_samplers", "unfold_thoughts"))
"""The actions whose effect can be seen in the chat alone."""
