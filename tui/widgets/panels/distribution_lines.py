"""A next-token distribution as lines: what could come next, how likely before and after the settings, what was cut.

Every number is a probability over the whole vocabulary: what is not listed stands in the last row, a full bar is
always 100 %, and nothing is scaled to look better. Must not know the panel it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.records import Candidate, Prediction
from tui.format import UNKNOWN, choices, number, percent
from tui.sanitize import visible_bytes, visible_token
from tui.widgets.panels.bars import before_and_after
from tui.widgets.panels.panel import Line, Span, cells, cut, fitting

MOST_ROWS = 20
_NUMBER = 7  # cells of a probability
_ID = 6
_WORD = 12  # cells of most tokens in their quotes


@dataclass(frozen=True, kw_only=True)
class Columns:
    """How many cells each column has; the token's text is last, because nobody knows how wide a terminal draws it."""

    bar: int
    id: int  # 0: no such column
    token: int

    @classmethod
    def within(cls, width: int) -> Columns:
        free = width - (1 + _NUMBER + 1 + _NUMBER + 1)  # the mark, two numbers, the blanks after them
        shows_id = _ID + 1 if width >= 52 else 0
        shared = free - shows_id  # by the bar and the token; a word or an end of turn is worth more than a long bar
        token = max(7, min(24, shared - 6, max(_WORD, shared // 2)))
        return cls(bar=max(0, shared - token - 1), id=max(0, shows_id - 1), token=token)


@dataclass(frozen=True, kw_only=True)
class Rest:
    """All tokens that have no row of their own; None: not known."""

    count: int | None
    alive: int | None  # of those, how many could have been chosen
    raw_probability: float | None
    probability: float | None
    holds_chosen: bool


@dataclass(frozen=True, kw_only=True)
class DistributionLines:
    """A distribution, ready to be laid out."""

    prediction: Prediction
    chosen: int | None = None
    drawn: float | None = None
    position: int | None = None

    def lines(self, width: int, height: int) -> list[Line]:
        """Header, rows, rest: the rest is always there, the header gives way first."""
        columns = Columns.within(width)
        header = self._header(width, height, columns)
        candidates = self.candidates(min(MOST_ROWS, height - len(header) - 1))
        rows = [self._row(candidate, columns) for candidate in candidates]
        return [*header, *rows, self._rest_row(self.rest(candidates), columns, width)]

    def candidates(self, room: int) -> list[Candidate]:
        """The first so many, and in any case the one that was chosen."""
        if room <= 0:
            return []
        first = list(self.prediction.candidates[:room])
        if any(candidate.id == self.chosen for candidate in first):
            return first
        later = [candidate for candidate in self.prediction.candidates[room:] if candidate.id == self.chosen]
        return [*first[: room - len(later)], *later]

    def rest(self, listed: list[Candidate]) -> Rest:
        """What these leave out."""
        prediction, ids = self.prediction, {candidate.id for candidate in listed}
        hidden = [candidate for candidate in prediction.candidates if candidate.id not in ids]
        count, left = prediction.rest_count, survivors(prediction)
        alive = None if left is None else max(0, left - sum(candidate.kept for candidate in listed))
        raw_probability, probability = prediction.rest_raw_probability, prediction.rest_probability
        if raw_probability is not None:
            raw_probability += sum(candidate.raw_probability for candidate in hidden)
        if probability is not None:
            probability += sum(candidate.probability for candidate in hidden)
        return Rest(
            count=None if count is None else count + len(hidden),
            alive=alive,
            raw_probability=raw_probability,
            probability=0.0 if alive == 0 else probability,  # a sum of floats may leave a hair where nothing is left
            holds_chosen=self.chosen is not None and self.chosen not in ids,
        )

    # --- the header ---------------------------------------------------------------------------------------------------

    def _header(self, width: int, height: int, columns: Columns) -> list[Line]:
        p, titles = self.prediction, _titles(columns, width)
        if height < 12:
            both = self._both(width)
            if height < 9:
                return [both, titles] if height >= 6 else [both] if height > 2 else []
            return [both, self._funnel(width, dice=False), titles]
        position = ("" if self.position is None else f"position {self.position:,}", "dim")
        model = _undecided("model", p.entropy_bits, p.choices)
        chain = _undecided("after", p.chain_entropy_bits, p.chain_choices)
        if not (_has_room(model[0], position, width) and _has_room(chain[0], self._dice, width)):
            model, chain = model[1:], chain[1:]  # both in the same words, or their numbers could not be compared
        before, after = _ends(model, "dim", position, width), _ends(chain, "", self._dice, width)
        return [before, after, self._funnel(width, dice=self._dice not in after), titles]

    def _both(self, width: int) -> Line:
        p = self.prediction
        if p.choices is None or p.chain_choices is None:
            return _ends((f" {_bits(p.entropy_bits)} → {_bits(p.chain_entropy_bits)} bits",), "", self._dice, width)
        bits = f" {p.entropy_bits:.2f} → {p.chain_entropy_bits:.2f} bits"
        before, after = number(p.choices), number(p.chain_choices)
        wordings = (f"{bits}, about {before} → {choices(p.chain_choices)}", f"{bits} ≈ {before} → {after}", bits)
        return _ends(wordings, "", self._dice, width)

    def _funnel(self, width: int, *, dice: bool) -> Line:
        """How many tokens each stage left, as far as it cut any."""
        right = self._dice if dice else ("", "")
        alive = vocabulary(self.prediction)
        steps = [] if alive is None else [("", alive)]
        for stage in self.prediction.stages:
            if alive is None or stage.alive < alive:
                steps.append((stage.name, stage.alive))
            alive = stage.alive
        if alive is None:
            return _ends((f" tokens in play: {UNKNOWN}", f" in play: {UNKNOWN}"), "dim", right, width)
        if len(steps) == 1 and not steps[0][0]:
            return _ends((f" all {alive:,} tokens in play", f" all {alive:,}"), "dim", right, width)
        named = " → ".join(f"{name} {count:,}".strip() for name, count in steps)
        bare = " → ".join(f"{count:,}" for _, count in steps)
        return _ends((f" {named} in play", f" {named}", f" {bare}"), "dim", right, width)

    @property
    def _dice(self) -> Span:
        return ("" if self.drawn is None else f"u = {self.drawn:.3f}", "$text-accent")

    # --- the rows -----------------------------------------------------------------------------------------------------

    def _row(self, candidate: Candidate, columns: Columns) -> Line:
        chosen = candidate.id == self.chosen
        mark = "▶" if chosen else " " if candidate.kept else "✗"
        tone = "dim" if not candidate.kept else "bold" if chosen else ""
        after = percent(candidate.probability) if candidate.kept else reason(candidate.cut_by or "")
        return [
            (mark, "bold $text-accent" if chosen else "$text-error"),
            (f"{after:>{_NUMBER}} ", tone),
            (f"{percent(candidate.raw_probability):>{_NUMBER}} ", "dim"),
            *before_and_after(candidate.raw_probability, candidate.probability, columns.bar),
            (f" {candidate.id:>{columns.id}}" if columns.id else "", "dim"),
            (" " + cut(quoted(candidate), columns.token), tone),
        ]

    def _rest_row(self, rest: Rest, columns: Columns, width: int) -> Line:
        left = 1 + _NUMBER + 1 + _NUMBER + 1 + columns.bar
        room = width - left - 1
        bar: list[Span] = [(" " * columns.bar, "")]
        if rest.raw_probability is not None and rest.probability is not None:
            bar = before_and_after(rest.raw_probability, rest.probability, columns.bar)
        return [
            ("▶" if rest.holds_chosen else " ", "bold $text-accent"),
            (f"{percent(rest.probability):>{_NUMBER}} ", ""),
            (f"{percent(rest.raw_probability):>{_NUMBER}} ", "dim"),
            *bar,
            (" " + fitting(room, *_others(rest)), "italic"),
        ]


def _others(rest: Rest) -> list[str]:
    """How many the rest are, in more cells and in fewer."""
    if rest.count is None:
        return ["all other tokens", "all others", "rest"]
    wordings = [f"{rest.count:,} other tokens", f"{rest.count:,} others", f"rest {rest.count:,}", f"+{rest.count:,}"]
    if rest.alive is not None and 0 < rest.alive < rest.count:
        return [f"{wording}, {rest.alive:,} in play" for wording in wordings[:2]] + wordings
    return wordings


def _undecided(name: str, bits: float | None, count: float | None) -> tuple[str, ...]:
    """How undecided a distribution is, in more cells and in fewer."""
    if bits is None or count is None:
        return f" {name}  bits {UNKNOWN}", f" {name} bits {UNKNOWN}"
    return f" {name}  {bits:.2f} bits, about {choices(count)}", f" {name} {bits:.2f} bits ≈ {choices(count)}"


def _bits(bits: float | None) -> str:
    return UNKNOWN if bits is None else f"{bits:.2f}"


def _titles(columns: Columns, width: int) -> Line:
    axis = "0" + "100 %".rjust(columns.bar - 1) if columns.bar >= 9 else " " * columns.bar
    ids = f" {'id':>{columns.id}}" if columns.id else ""
    titles = f" {'after':>{_NUMBER}} {'model':>{_NUMBER}} {axis}{ids} token"
    return [(titles.ljust(width), "dim underline")]


def _ends(wordings: Sequence[str], style: str, right: Span, width: int) -> Line:
    """A piece at either end: the longest wording that leaves room for the right one, which otherwise is left out."""
    for wording in wordings if right[0] else ():
        if _has_room(wording, right, width):
            return [(wording, style), (" " * (width - cells([(wording, ""), right]) - 1), ""), right]
    return [(fitting(width, *wordings), style)]


def _has_room(wording: str, right: Span, width: int) -> bool:
    """Whether both fit on a line, with a gap between them."""
    return cells([(wording, ""), right]) + (3 if right[0] else 0) <= width


def vocabulary(prediction: Prediction) -> int | None:
    """How many tokens there are; None: not known."""
    return None if prediction.rest_count is None else len(prediction.candidates) + prediction.rest_count


def survivors(prediction: Prediction) -> int | None:
    """How many the chain left; None: not known."""
    return prediction.stages[-1].alive if prediction.stages else vocabulary(prediction)


def reason(stage: str) -> str:
    """The stage that cut a token, in at most 7 cells."""
    return "T = 0" if stage == "temperature" else cut(stage, _NUMBER)


def quoted(candidate: Candidate) -> str:
    """A token's text in quotes, so that its blanks show; half a character as its bytes."""
    try:
        candidate.bytes.decode()
    except UnicodeDecodeError:
        return visible_bytes(candidate.bytes)
    shown = visible_token(candidate.text)
    return f'"{shown}"' if candidate.text else shown
