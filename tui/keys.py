"""Every key, in groups, as the help screen tells them. The bindings themselves stand where they act."""

from __future__ import annotations

GROUPS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Talking",
        (
            ("Enter", "send the message"),
            ("Ctrl+J, Shift+Enter", "new line"),
            ("Up, Down", "earlier and later messages"),
            ("Escape", "stop the answer, and what is written stays; or stop opening a model"),
            ("Ctrl+R", "another answer to the last message"),
            ("Ctrl+N", "new chat"),
            ("Ctrl+O", "the models that are here: type to filter, Enter goes on with another one"),
            (
                "Ctrl+O, then Ctrl+F",
                "fetch a model from the hub; Escape stops it, fetching it again goes on from there",
            ),
        ),
    ),
    (
        "Temperature, from anywhere",
        (
            ("Ctrl+Up, Ctrl+Down", "hotter, colder by 0.05 (also Alt+Up, Alt+Down)"),
            ("Tab, then arrows", "move the slider; Page Up, Page Down by 0.25; Home is 0"),
            ("Tab, then a number", "type the temperature, Enter sets it"),
            ("Mouse", "drag the slider, or turn the wheel over it"),
        ),
    ),
    (
        "Samplers",
        (
            ("F3", "show or fold the samplers"),
            ("Up, Down", "choose a setting"),
            ("Left, Right", "less, more"),
            ("A number, Enter", "set it"),
            ("Backspace", "switch it off"),
        ),
    ),
    (
        "The screen",
        (
            ("Tab, Shift+Tab", "next, previous pane"),
            ("Page Up, Page Down", "scroll the chat; Ctrl+Home and Ctrl+End: its beginning and end"),
            ("Ctrl+T, or a click", "unfold or fold what a model thinks before it answers"),
            ("Mouse, then Ctrl+C", "select text and copy it"),
            ("F2", "show or hide the panels"),
            ("Ctrl+P", "command palette: everything by name, themes too"),
            ("F1", "this help"),
            ("Ctrl+Q", "quit at once"),
        ),
    ),
)
