"""A bordered box of lines that are laid out for the room there is. Must not know what it shows.

A panel's size never depends on what it shows, so showing something new moves nothing else, and only the lines that
differ are painted again: a panel changes with every token. Text is never parsed as markup, and styles name variables
of the theme.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

Span = tuple[str, str]  # text, style
Line = Sequence[Span]


class Panel(Widget):
    """Shows `lines`. A heavy border says that the keys go here."""

    ALLOW_SELECT = False  # a mouse drag moves things in here

    DEFAULT_CSS = """
    Panel {
        padding: 0 1;
        border: round $foreground 35%;
        border-title-color: $foreground;
        border-title-style: bold;
        border-subtitle-color: $foreground;
    }
    Panel:focus {
        border: heavy $border;
        border-title-color: $text-accent;
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._strips: list[Strip] = []
        self._laid_out_for = Size(0, 0)
        self._tones: dict[str, Style] = {}

    def lines(self, width: int, height: int) -> Sequence[Line]:
        """What to show in so many cells and lines; what is too long or too many is cut off."""
        raise NotImplementedError

    def redraw(self) -> None:
        """Lay the lines out again and paint those that differ."""
        if self.size != self._laid_out_for:
            self.refresh()
            return
        old, self._strips = self._strips, self._lay_out()
        changed = [y for y, (before, after) in enumerate(zip(old, self._strips, strict=True)) if before != after]
        if changed:
            width = self.size.width
            self.refresh(*(Region(0, first, width, last - first + 1) for first, last in runs(changed)))

    def render_line(self, y: int) -> Strip:
        if self.size != self._laid_out_for or not self._strips:
            self._laid_out_for = self.size
            self._strips = self._lay_out()
        return self._strips[y]

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._tones.clear()
        self._strips = []
        self._laid_out_for = Size(0, 0)

    def _lay_out(self) -> list[Strip]:
        width, height = self.size
        lines = self.lines(width, height)[:height]
        strips = [Strip([Segment(text, self._tone(style)) for text, style in line if text]) for line in lines]
        padded = [strip.adjust_cell_length(width, self._tone("")) for strip in strips]
        return [*padded, *(Strip.blank(width, self._tone("")) for _ in range(height - len(lines)))]

    def _tone(self, style: str) -> Style:
        if style not in self._tones:
            self._tones[style] = (self.visual_style + self._get_style(style)).rich_style
        return self._tones[style]


def runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of neighbours among ascending numbers."""
    firsts = [n for n, before in zip(numbers, [None, *numbers], strict=False) if before is None or n != before + 1]
    lasts = [n for n, after in zip(numbers, [*numbers[1:], None], strict=True) if after != n + 1]
    return list(zip(firsts, lasts, strict=True))


def cells(line: Line) -> int:
    """How wide a line is."""
    return sum(cell_len(text) for text, _ in line)


def wrapped(text: str, width: int, style: str = "") -> list[Line]:
    """A text in lines of at most so many cells."""
    return [[(part.plain, style)] for part in Content(text).wrap(max(width, 1))] if text else []


def fitting(width: int, *wordings: str) -> str:
    """The first of these that fits, given from the longest to the shortest; else the shortest, cut off."""
    for wording in wordings:
        if cell_len(wording) <= width:
            return wording
    return cut(wordings[-1], width)


def cut(text: str, width: int) -> str:
    """At most `width` cells of a text, ending in … where something is missing."""
    if cell_len(text) <= width:
        return text
    kept, used = "", 0
    for character in text:
        used += cell_len(character)
        if used > width - 1:
            break
        kept += character
    return kept + "…" if width > 0 else ""
