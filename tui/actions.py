"""Everything the chat can be asked to do, said once: keys, names, explanations. Must not know how any of it is done.

The bindings, the line of keys at the bottom, the help screen's keys and the command palette are made from this table.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from textual.app import App, SystemCommand
from textual.binding import Binding

from core.setting_spec import ORDERS
from core.setting_specs import SPECS
from tui.action import Action, Group, WidgetKeys

HelpGroups = dict[Group, list[tuple[str, str]]]

_STEP, _LEAP = SPECS["temperature"].step, SPECS["temperature"].leap

TABLE: tuple[Action | WidgetKeys, ...] = (
    WidgetKeys(group="Talking", keys="Enter", help="send the message"),
    WidgetKeys(
        group="Talking",
        keys="Ctrl+J, Alt+Enter",
        help="new line; Shift+Enter too, but in a terminal that cannot tell it from Enter it sends the message",
    ),
    WidgetKeys(
        group="Talking",
        keys="Up, Down",
        help="earlier and later messages, from earlier sessions too; LOGITSCOPE_HISTORY=off keeps none on disk",
    ),
    Action(
        id="stop",
        call="stop",
        keys="escape",
        priority=False,
        title="Stop",
        in_footer=True,
        place=2,
        group="Talking",
        help="stop the answer, and what is written stays; or stop opening a model",
        palette="Stop the answer that is being written, or the model that is being opened",
        palette_place=5,
    ),
    Action(
        id="again",
        call="again",
        keys="ctrl+r",
        title="Again",
        in_footer=True,
        place=8,
        in_chat_only=True,
        group="Talking",
        help="another answer to the last message",
        palette="Answer the last message once more",
        palette_place=4,
        palette_title="Another answer",
    ),
    Action(
        id="new-chat",
        call="new_chat",
        keys="ctrl+n",
        title="New chat",
        in_footer=True,
        place=10,
        in_chat_only=True,
        group="Talking",
        help="new chat",
        palette="Forget this conversation and begin another",
        palette_place=3,
    ),
    Action(
        id="models",
        call="models",
        keys="ctrl+o",
        title="Models",
        in_footer=True,
        place=5,
        group="Talking",
        help="the models that are here: type to filter, Enter goes on with another one",
        palette="Show the models that are here, open another or fetch one",
        palette_place=2,
    ),
    WidgetKeys(
        group="Talking",
        keys="Ctrl+O, then Ctrl+F",
        help="fetch a model from the hub; Escape stops it, fetching it again goes on from there",
    ),
    Action(
        id="hotter",
        call=f"nudge({_STEP})",
        keys="ctrl+up,alt+up",
        shown_key="^↑",
        title="Hotter",
        in_footer=True,
        place=4,
        in_chat_only=True,
        group="Temperature, from anywhere",
        help=f"hotter, colder by {_STEP} (also Alt+Up, Alt+Down)",
        help_keys="Ctrl+Up, Ctrl+Down",
    ),
    Action(
        id="colder",
        call=f"nudge({-_STEP})",
        keys="ctrl+down,alt+down",
        shown_key="^↓",
        title="Colder",
        in_footer=True,
        place=3,
        in_chat_only=True,
        group="Temperature, from anywhere",
    ),
    WidgetKeys(
        group="Temperature, from anywhere",
        keys="Tab, then arrows",
        help=f"move the slider; Page Up, Page Down by {_LEAP}; Home is 0",
    ),
    WidgetKeys(
        group="Temperature, from anywhere", keys="Tab, then a number", help="type the temperature, Enter sets it"
    ),
    WidgetKeys(group="Temperature, from anywhere", keys="Mouse", help="drag the slider, or turn the wheel over it"),
    Action(
        id="samplers",
        call="toggle_samplers",
        keys="f3",
        title="Samplers",
        in_footer=True,
        place=7,
        in_chat_only=True,
        group="Samplers",
        help="show or fold the samplers",
        palette="Show or hide the samplers panel",
        palette_place=8,
    ),
    WidgetKeys(group="Samplers", keys="Up, Down", help="choose a setting"),
    WidgetKeys(group="Samplers", keys="Left, Right", help="less, more"),
    WidgetKeys(group="Samplers", keys="A number, Enter", help="set it"),
    WidgetKeys(group="Samplers", keys="Backspace", help="switch it off"),
    *(
        Action(
            id=f"order-{order}",
            call=f"reorder({order!r})",
            title=f"Order: {order}",
            group="Samplers",
            palette=f"Run the samplers in the order {order} has",
        )
        for order in ORDERS
    ),
    WidgetKeys(group="The screen", keys="Tab, Shift+Tab", help="next, previous pane"),
    Action(
        id="page-up",
        call="scroll('page_up')",
        keys="pageup",
        priority=False,
        title="Scroll up",
        in_chat_only=True,
        group="The screen",
        help="scroll the chat; Ctrl+Home and Ctrl+End: its beginning and end",
        help_keys="Page Up, Page Down",
    ),
    Action(
        id="page-down",
        call="scroll('page_down')",
        keys="pagedown",
        priority=False,
        title="Scroll down",
        in_chat_only=True,
        group="The screen",
    ),
    Action(
        id="beginning",
        call="scroll('scroll_home')",
        keys="ctrl+home",
        priority=False,
        title="Beginning",
        in_chat_only=True,
        group="The screen",
    ),
    Action(
        id="end",
        call="scroll('scroll_end')",
        keys="ctrl+end",
        priority=False,
        title="End",
        in_chat_only=True,
        group="The screen",
    ),
    Action(
        id="thoughts",
        call="unfold_thoughts",
        keys="ctrl+t",
        title="Thoughts",
        place=9,
        in_chat_only=True,
        group="The screen",
        help="unfold or fold what a model thinks before it answers",
        help_keys="Ctrl+T, or a click",
        palette="Unfold or fold what models think before they answer",
        palette_place=7,
    ),
    WidgetKeys(group="The screen", keys="Mouse, then Ctrl+C", help="select text and copy it"),
    Action(
        id="panels",
        call="toggle_panels",
        keys="f2",
        title="Panels",
        in_footer=True,
        place=6,
        in_chat_only=True,
        group="The screen",
        help="show or hide the panels",
        palette="Show or hide the panels on the right",
        palette_place=6,
    ),
    WidgetKeys(group="The screen", keys="Ctrl+P", help="command palette: everything by name, themes too"),
    Action(
        id="help",
        call="help",
        keys="f1",
        title="Help",
        in_footer=True,
        place=1,
        group="The screen",
        help="this help",
        palette="Every key, and what every number on the screen means",
        palette_place=1,
    ),
    Action(
        id="quit",
        call="quit",
        keys="ctrl+q",
        title="Quit",
        in_footer=True,
        place=11,
        group="The screen",
        help="quit at once",
    ),
)
"""In the order in which the help screen tells of them."""


def actions() -> list[Action]:
    """What the application does, in the order of the bindings."""
    return sorted((entry for entry in TABLE if isinstance(entry, Action)), key=lambda action: action.place)


def bindings() -> list[Binding]:
    """The keys that act wherever the person is."""
    return [action.binding for action in actions() if action.keys]


def is_in_chat_only(name: str) -> bool:
    """Whether an action of the application, named without its arguments, is for the chat alone."""
    return any(action.in_chat_only and action.name == name for action in actions())


def help_groups() -> HelpGroups:
    """Keys and what they do, by the title of their group."""
    groups: HelpGroups = {}
    for entry in TABLE:
        if entry.help:
            groups.setdefault(entry.group, []).append(entry.help_line)
    return groups


def commands(app: App[None]) -> Iterator[SystemCommand]:
    """What the command palette lists beside Textual's own commands; each runs an action of the application."""
    listed = [action for action in actions() if action.palette]
    for action in sorted(listed, key=lambda action: action.palette_place):
        title = action.palette_title or action.title
        yield SystemCommand(title, action.palette, partial(app.run_action, action.call))
