"""Numbers as people read them, in few cells and without a lie. Must not know where they are shown."""

from __future__ import annotations


def percent(probability: float) -> str:
    """In at most 7 cells; a limit stands for the number only where the number would round to a lie."""
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
