"""The chat pane: all messages in one widget that draws the lines in view. Must not know the engine or the conversation.

There is no widget per message, because mounting, styling and laying out hundreds of them takes seconds. A message is an
`Entry` that makes its rows when they are needed; what is drawn of a row is kept until the theme or the width changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Any, ClassVar, Literal

from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.timer import Timer
from textual.widget import Widget

from core.conversation import Role
from tui.widgets.drawing import drawn, hinted
from tui.widgets.entry import Entry, Level
from tui.widgets.panel import runs
from tui.widgets.pile import Pile, Place
from tui.widgets.rows import Row
from tui.widgets.selecting import copied, key, span, whole

_INTERVAL = 1 / 20  # seconds between two redraws of a growing message, at least; whoever tells more often waits
_SHARE = 4  # times as long as the last redraw took: drawing takes a fifth of the time at most,
_LONGEST_WAIT = 0.5  # unless that were slower than this
_SOON = 1 / 60  # many messages at once are one redraw

_Line = tuple[int, int, Row | None] | None  # which row of which message, and the row
_View = tuple[tuple[int, ...], list[_Line]]  # where it is, and what is on every line of it


class Transcript(ScrollView, can_focus=True):
    """Shows who said what, follows the end unless the person has scrolled up, and lets text be selected."""

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
        self.model_name = ""  # whose answers the next ones are
        self._pile = Pile()
        self._unfolded = False  # thoughts are shown
        self._following = True
        self._placing = False
        self._changed_from: int | None = None  # the first message that has changed since the last redraw
        self._not_before = 0.0  # when the next redraw may be
        self._timer: Timer | None = None
        self._due = 0.0  # when it goes off
        self._view: _View = ((), [])  # when it was last drawn
        self._strips: LRUCache[Row, Strip] = LRUCache(512)
        self._pressed = 0  # the line under the mouse when its button went down

    # --- messages -----------------------------------------------------------------------------------------------------

    @property
    def messages(self) -> Sequence[tuple[str, str]]:
        """Who said what, in order; the program's own notes are told by "note"."""
        return [(entry.role, entry.text) for entry in self._pile.entries]

    @property
    def is_following(self) -> bool:
        """Whether new text brings itself into view."""
        return self._following

    @property
    def is_drawn(self) -> bool:
        """Whether everything said so far is on the screen."""
        return self._changed_from is None

    def add(self, role: Role | Literal["note"], text: str = "") -> int:
        """A new message at the end; returns its index. One's own message is always brought into view."""
        self._following = self._following or role == "user"
        return self._add(Entry(role, text, name=self.model_name if role == "assistant" else ""))

    def add_note(self, text: str, level: Level = "info") -> int:
        """Something the program itself has to say; returns its index."""
        return self._add(Entry("note", text, level=level))

    def append(self, index: int, delta: str) -> None:
        """More of a message. It is drawn soon, together with what else comes until then."""
        self._pile.entries[index].append(delta)
        self._change(index, self._not_before - monotonic())

    def set_text(self, index: int, text: str) -> None:
        """This is what was said instead."""
        self._pile.entries[index].replace(text)
        self._change(index)

    def finish(self, index: int, suffix: str = "") -> None:
        """The message is complete; the suffix says how it ended."""
        self._pile.entries[index].finish(suffix)
        self._change(index)

    def rename(self, index: int, name: str) -> None:
        """Somebody else says it."""
        self._pile.entries[index].rename(name)
        self._change(index)

    def open_thought(self, index: int) -> None:
        """The message begins inside a thought."""
        self._pile.entries[index].open_thought()
        self._change(index, self._not_before - monotonic())

    def count_thought(self, index: int, tokens: int) -> None:
        """The message's thought is so many tokens long by now."""
        if self._pile.entries[index].count_thought(tokens):
            self._change(index, self._not_before - monotonic())

    def unfold_all(self) -> None:
        """Show every thought, those to come too, or fold them all."""
        self._unfolded = not self._unfolded
        for entry in self._pile.entries:
            entry.unfold(self._unfolded)
        self._change(0)

    def text_of(self, index: int) -> str:
        return self._pile.entries[index].text

    def clear(self) -> None:
        """Forget all messages."""
        if self.is_attached:
            self.screen.clear_selection()
        self._pile.entries.clear()
        self._following = True
        self._strips.clear()
        self._change(0)

    def _add(self, entry: Entry) -> int:
        entry.unfold(self._unfolded)
        self._pile.entries.append(entry)
        index = len(self._pile.entries) - 1
        self._change(index, _SOON)
        return index

    # --- where things are ---------------------------------------------------------------------------------------------

    def _change(self, index: int, wait: float = 0.0) -> None:
        """A message has changed, and is to be drawn after so many seconds at the latest."""
        self._changed_from = index if self._changed_from is None else min(index, self._changed_from)
        if not self.is_attached or not self._pile.width:
            return  # there is nothing to draw on yet
        if wait <= 0:
            self._draw()
        elif self._timer is None or monotonic() + wait < self._due:
            self._stop_timer()
            self._due = monotonic() + wait
            self._timer = self.set_timer(wait, self._draw)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _draw(self) -> None:
        self._stop_timer()
        start = monotonic()
        before = self._view
        self._place(self._where())
        self._changed_from = None
        self._view = self._look()
        self._refresh_lines(before, self._view)
        end = monotonic()
        self._not_before = end + min(max(_INTERVAL, _SHARE * (end - start)), _LONGEST_WAIT)

    def _look(self) -> _View:
        """What is in view now."""
        top, height = self.scroll_offset.y, self.scrollable_content_region.height
        places = [self._pile.find(line) for line in range(top, top + height)]
        lines = [place and (place.entry, place.row, self._row(place)) for place in places]
        return (top, self._pile.width, height, self._following), lines

    def _refresh_lines(self, before: _View, after: _View) -> None:
        """Paint the lines that differ: most words only make the last line longer."""
        if before[0] != after[0] or len(before[1]) != len(after[1]):
            self.refresh()
            return
        changed = [y for y, (old, new) in enumerate(zip(before[1], after[1], strict=True)) if not _same(old, new)]
        if changed:
            width = self.size.width
            self.refresh(*(Region(0, first, width, last - first + 1) for first, last in runs(changed)))

    def _row(self, place: Place) -> Row | None:
        """None beyond the rows that the entry turned out to have."""
        rows = self._pile.entries[place.entry].rows(self._pile.width)
        return rows[place.row] if place.row < len(rows) else None

    def _where(self) -> Place | None:
        return None if self._following else self._pile.find(self.scroll_offset.y)

    def _place(self, anchor: Place | None) -> None:
        """Measure what has changed, then show the end, or what was shown before."""
        pile, height = self._pile, self.scrollable_content_region.height
        pile.measure(min(self._changed_from or 0, len(pile.entries)))
        line = pile.height
        if anchor is None:
            pile.lay_out_end(height)
        else:
            line = pile.lay_out(pile.restore(anchor), height)
        self._scroll(pile.height if anchor is None else line)

    def _scroll(self, line: int) -> None:
        """Without the person having scrolled."""
        self._placing = True
        size = Size(self._pile.width, self._pile.height)
        if size != self.virtual_size:  # set plainly, it would lay out the whole screen anew with every line
            self.set_reactive(Widget.virtual_size, size)  # pyright: ignore[reportArgumentType]
            self.vertical_scrollbar.window_virtual_size = size.height
        super().scroll_to(y=line, animate=False, force=True)
        self._placing = False

    def scroll_to(self, x: float | None = None, y: float | None = None, **options: Any) -> None:
        """At once: what comes into view may have another height than was guessed, under the feet of an animation."""
        super().scroll_to(x, y, **{**options, "animate": False})

    def action_scroll_end(self) -> None:
        self._following = True
        self._draw()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._placing:
            return
        shown = self.scroll_offset.y
        line = self._pile.lay_out(shown, self.scrollable_content_region.height)
        if line != shown or self._pile.height != self.virtual_size.height:
            self._scroll(line)
        self._following = self.scroll_offset.y >= self.max_scroll_y
        self.refresh()

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if width == self._pile.width and self._changed_from is None:
            self._place(self._where())
            return
        anchor = self._where()
        if width != self._pile.width and self in self.screen.selections:
            self.screen.clear_selection()  # its rows are no longer the same
        self._pile.width = width
        self._changed_from = 0
        self._place(anchor)
        self._changed_from = None
        self.refresh()

    # --- drawing ------------------------------------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._strips.clear()

    def render_line(self, y: int) -> Strip:
        size = self.scrollable_content_region.size
        place = self._pile.find(self.scroll_offset.y + y)
        row = self._row(place) if place else None
        if place is None or row is None:
            return Strip.blank(size.width, self.rich_style)
        offset = key(place.entry, place.row)
        strip = self._strip(row, span(self.text_selection, offset)).apply_offsets(0, offset)
        if y < size.height - 1 or self._following:
            return strip
        return hinted(strip, self.app.stylesheet.parse_style)

    def _strip(self, row: Row, selected: tuple[int, int | None] | None) -> Strip:
        known = self._strips.get(row)
        if known is not None and selected is None:
            return known
        selection_style = Style.from_styles(self.screen.get_component_styles("screen--selection"))
        strip = drawn(
            row, self._pile.width, self.visual_style, self.app.stylesheet.parse_style, selected, selection_style
        )
        if selected is None:
            self._strips[row] = strip
        return strip

    # --- selecting ----------------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        return copied(self._pile.entries, self._pile.width, selection), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        self._pressed = self.scroll_offset.y + event.y

    def on_click(self, event: events.Click) -> None:
        """A click on the line that stands for a thought unfolds it or folds it, and the line stays where it is."""
        place = self._pile.find(self.scroll_offset.y + event.y)
        if place is None or not self._pile.entries[place.entry].is_fold(place.row):
            return
        entry = self._pile.entries[place.entry]
        self._following = False
        entry.unfold(not entry.is_unfolded)
        self._change(place.entry)
        self._following = self.scroll_offset.y >= self.max_scroll_y

    def text_select_all(self) -> None:
        """A double click selects the message under the mouse."""
        place = self._pile.find(self._pressed)
        if place is not None:
            body = self._pile.entries[place.entry].body
            self.screen.selections = {self: whole(place.entry, body)}


def _same(one: _Line, other: _Line) -> bool:
    """Whether two lines look alike and belong to the same place of the same message."""
    if one is None or other is None or one[2] is None or other[2] is None:
        return one == other
    return one[:2] == other[:2] and one[2].is_same(other[2])
