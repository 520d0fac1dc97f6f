"""A row as a strip of styled cells. Must not know where on the screen it goes."""

from __future__ import annotations

from collections.abc import Callable

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.strip import Strip
from textual.style import Style

from tui.widgets.transcript.rows import Row

_MORE = " ↓ more below "

GetStyle = Callable[[str | Style], Style]  # what a style's words mean under the theme


def drawn(
    row: Row, width: int, base: Style, get_style: GetStyle, selected: tuple[int, int | None] | None, selection: Style
) -> Strip:
    """A row, exactly as wide as this.

    Args:
        base: the style of the widget under it.
        selected: between which characters it is selected, if at all.
        selection: the style of that part.
    """
    line = row.line
    if row.fill:
        base += get_style(row.fill)
    if selected is not None:
        line = line.stylize(selection, *selected)
    pieces = line.render(base, end="", parse_style=get_style)
    strip = Strip([Segment(text, style.rich_style) for text, style in pieces])
    return strip.adjust_cell_length(width, base.rich_style)


def hinted(strip: Strip, get_style: GetStyle) -> Strip:
    """That there is more, at the end of a row; a click on it goes there."""
    style = get_style("$background on $foreground 60%").rich_style
    hint = Segment(_MORE, style + RichStyle.from_meta({"@click": "scroll_end"}))
    kept = max(strip.cell_length - len(_MORE), 0)
    return Strip([*strip.crop(0, kept), hint]).adjust_cell_length(strip.cell_length)
