"""Messages one below the other, in one widget that draws the lines in view. Must not know who says what.

There is no widget per message, because mounting, styling and laying out hundreds of them takes seconds. A message is a
`TranscriptMessage` that makes its rows when they are needed; what is drawn of a row is kept until the theme or the
width changes.
"""

from __future__ import annotations

from typing import Any

from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from tui.widgets.panels.panel import runs
from tui.widgets.transcript.line_index import LineIndex, LinePosition
from tui.widgets.transcript.redraw_timer import RedrawTimer
from tui.widgets.transcript.rows import Row
from tui.widgets.transcript.selection import key, span
from tui.widgets.transcript.strips import drawn, hinted
from tui.widgets.transcript.viewport import NOTHING, Viewport


class LineView(ScrollView):
    """Follows the end unless the person has scrolled up; then what is read stays where it is."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._line_index = LineIndex()
        self._redraw_timer = RedrawTimer(self, self._draw)
        self._following = True
        self._placing = False
        self._changed_from: int | None = None  # the first message that has changed since the last drawing
        self._view = NOTHING  # when it was last drawn
        self._strips: LRUCache[Row, Strip] = LRUCache(512)

    @property
    def is_following(self) -> bool:
        """Whether new text brings itself into view."""
        return self._following

    @property
    def is_drawn(self) -> bool:
        """Whether everything said so far is on the screen."""
        return self._changed_from is None

    # --- what has changed ---------------------------------------------------------------------------------------------

    def _change(self, index: int, wait: float = 0.0) -> None:
        """A message has changed, and is to be drawn after so many seconds at the latest."""
        self._changed_from = index if self._changed_from is None else min(index, self._changed_from)
        if self.is_attached and self._line_index.width:  # else there is nothing to draw on yet
            self._redraw_timer.within(wait)

    def _grow(self, index: int) -> None:
        """A message has changed, and will again before long."""
        self._change(index, self._redraw_timer.wait)

    def _draw(self) -> None:
        self._place(self._where())
        self._changed_from = None
        before = self._view
        height = self.scrollable_content_region.height
        self._view = Viewport.of(self._line_index, self.scroll_offset.y, height, is_end=self._following)
        changed = self._view.changes_from(before)
        if changed is None:
            self.refresh()
        elif changed:
            width = self.size.width
            self.refresh(*(Region(0, first, width, last - first + 1) for first, last in runs(changed)))

    # --- where things are ---------------------------------------------------------------------------------------------

    def _where(self) -> LinePosition | None:
        """What is to stay in view; None: the end."""
        return None if self._following else self._line_index.find(self.scroll_offset.y)

    def _place(self, anchor: LinePosition | None) -> None:
        """Measure what has changed, then show the end, or what was shown before."""
        line_index, height = self._line_index, self.scrollable_content_region.height
        line_index.measure(min(self._changed_from or 0, len(line_index.messages)))
        line = line_index.height
        if anchor is None:
            line_index.lay_out_end(height)
        else:
            line = line_index.lay_out(line_index.restore(anchor), height)
        self._scroll(line_index.height if anchor is None else line)

    def _scroll(self, line: int) -> None:
        """Without the person having scrolled."""
        self._placing = True
        size = Size(self._line_index.width, self._line_index.height)
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
        self._redraw_timer.now()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if self._placing:
            return
        shown = self.scroll_offset.y
        line = self._line_index.lay_out(shown, self.scrollable_content_region.height)
        if line != shown or self._line_index.height != self.virtual_size.height:
            self._scroll(line)
        self._following = self.scroll_offset.y >= self.max_scroll_y
        self.refresh()

    def on_resize(self) -> None:
        width = self.scrollable_content_region.width
        if width == self._line_index.width and self._changed_from is None:
            self._place(self._where())
            return
        anchor = self._where()
        if width != self._line_index.width and self in self.screen.selections:
            self.screen.clear_selection()  # its rows are no longer the same
        self._line_index.width = width
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
        position = self._line_index.find(self.scroll_offset.y + y)
        row = self._line_index.row(position) if position else None
        if position is None or row is None:
            return Strip.blank(size.width, self.rich_style)
        offset = key(position.message, position.row)
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
            row, self._line_index.width, self.visual_style, self.app.stylesheet.parse_style, selected, selection_style
        )
        if selected is None:
            self._strips[row] = strip
        return strip
