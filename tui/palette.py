"""What the command palette lists beside Textual's own commands. Must not know what the actions do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.app import App, SystemCommand

from core.settings import ORDERS

_COMMANDS = (
    ("Help", "Every key, and what every number on the screen means", "help"),
    ("Models", "Show the models that are here, open another or fetch one", "models"),
    ("New chat", "Forget this conversation and begin another", "new_chat"),
    ("Another answer", "Answer the last message once more", "again"),
    ("Stop", "Stop the answer that is being written, or the model that is being opened", "stop"),
    ("Panels", "Show or hide the panels on the right", "toggle_panels"),
    ("Thoughts", "Unfold or fold what models think before they answer", "unfold_thoughts"),
    ("Samplers", "Show or hide the samplers panel", "toggle_samplers"),
    *((f"Order: {order}", f"Run the samplers in the order {order} has", f"reorder({order!r})") for order in ORDERS),
)


def commands(app: App[None]) -> Iterator[SystemCommand]:
    """Each runs an action of the application."""
    for title, help_text, action in _COMMANDS:
        yield SystemCommand(title, help_text, partial(app.run_action, action))
