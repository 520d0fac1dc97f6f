"""Numbers as people read them, in few cells and without a lie. Must not know where they are shown."""

from __future__ import annotations

UNKNOWN = "unknown"  # stands where a number would


def percent(probability: float | None) -> str:
    """In at most 7 cells; a limit stands for the number only where the number would round to a lie."""
    if probability is None:
        return UNKNOWN
    if probability <= 0:
        return "0 %"
    if probability < 0.0001:
        return "<0.01 %"
    if probability < 0.1:
        return f"{probability:.2%}".replace("%", " %")
    if probability > 1 - 1e-6:
        return "100 %"
    return ">99.9 %" if probability >= 0.9995 else f"{probability:.1%}".replace("%", " %")


def number(count: float) -> str:
    """One decimal while it tells something."""
    return f"{count:,.0f}" if count >= 9.95 else f"{count:.1f}".removesuffix(".0")


def choices(count: float) -> str:
    """In words; two equally likely tokens are 2 choices."""
    return "1 real choice" if number(count) == "1" else f"{number(count)} real choices"


def magnitude(count: float, units: tuple[str, ...] = ("", " k", " M", " B", " T")) -> str:
    """Three digits and a unit, in steps of a thousand: 630 M, 1.24 B."""
    step = 0
    while round(count, 0) >= 1000 and step < len(units) - 1:
        count, step = count / 1000, step + 1
    digits = 0 if step == 0 or count >= 100 else 1 if count >= 10 else 2
    return f"{count:.{digits}f}{units[step]}"


def data_size(n_bytes: int) -> str:
    """On disk: 241 MB, 1.24 GB."""
    return magnitude(n_bytes, (" B", " kB", " MB", " GB", " TB"))


def duration(seconds: float) -> str:
    """As long as it takes, no more exactly than a guess is: 40 s, 3 min, 2 h 5 min."""
    if seconds < 99.5:
        return f"{max(1.0, seconds):.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
