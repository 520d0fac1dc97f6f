"""Bars of block characters, exact to an eighth of a cell. Must not know what they measure."""

from __future__ import annotations

from tui.widgets.panels.panel import Span

EIGHTHS = " ▏▎▍▌▋▊▉█"

COMMON = "$primary"  # what both have
GAIN = "$success"  # what the settings added
LOSS = "dim"  # what they took away


def bar(fraction: float, width: int) -> str:
    """A bar `width` cells long at 1, without the blanks after its end."""
    whole, part = divmod(round(min(max(fraction, 0.0), 1.0) * width * 8), 8)
    return "█" * whole + (EIGHTHS[part] if part else "")


def meter(fraction: float, width: int) -> str:
    """A bar with its blanks, always `width` cells."""
    return bar(fraction, width).ljust(width)


def before_and_after(before: float, after: float, width: int) -> list[Span]:
    """One bar for two values, `width` cells in all: solid up to `after`.

    Where it has grown the new part has a colour of its own; where it has shrunk the lost part is shaded, which also
    reads without colour.
    """
    if after > before:
        spans = _grown(before, after, width)
    else:
        solid = bar(after, width)
        spans = [(solid, COMMON), ("░" * (round(before * width) - len(solid)), LOSS)]
    used = sum(len(text) for text, _ in spans)
    return [*spans, (" " * (width - used), "")]


def _grown(before: float, after: float, width: int) -> list[Span]:
    solid = bar(after, width)
    whole, part = divmod(round(before * width * 8), 8)
    if not part or whole >= len(solid):
        return [(solid[:whole], COMMON), (solid[whole:], GAIN)]
    if whole + 1 == len(solid):  # both end in one cell, which takes the colour of its greater part
        tone = COMMON if 2 * part >= EIGHTHS.index(solid[whole]) else GAIN
        return [(solid[:whole], COMMON), (solid[whole], tone)]
    return [("█" * whole, COMMON), (EIGHTHS[part], f"{COMMON} on {GAIN}"), (solid[whole + 1 :], GAIN)]
