"""What the headless commands print for people: plain tables with Rich. Text from a model or a file is never markup."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.cells import cell_len
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from core.records import Prediction
from tui.format import UNKNOWN, percent
from tui.sanitize import visible, visible_token
from weights.library.suggestions import SUGGESTIONS

if TYPE_CHECKING:
    from weights.fit.available import AvailableMemory
    from weights.library.entry import ModelEntry

_BAR_WIDTH = 24
NO_TEMPLATE = "has no chat template that can be used here: it continues the text it is given, and does not answer."
_NOTE_WIDTH = 24  # columns at least for what stands in a model's way
_UNLIMITED = 100_000  # columns


class _Console(Console):
    """Standard output. Only a terminal has a width; a pipe whose reader is gone is not Rich's to judge."""

    def __init__(self) -> None:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNLIMITED
        super().__init__(highlight=False, width=max(1, width))

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError

    def fits(self, table: Table, beside: int = 0) -> bool:
        """Whether nothing of a table would have to be broken or cut, with so many columns left beside it."""
        return self.measure(table, options=self.options.update(max_width=_UNLIMITED)).maximum + beside <= self.width


def show_prediction(model: str, prediction: Prediction, *, chosen: int, drawn: float) -> None:
    """A next-token distribution as rows with bars, the rest of the vocabulary last."""
    console = _Console()
    for pieces, between in _summary(visible(model), prediction, drawn):
        for line in _folded(pieces, between, console.width):
            console.print(Text(line), soft_wrap=True)
    table = _distribution(prediction, chosen, with_bars=True)
    console.print(table if console.fits(table) else _distribution(prediction, chosen, with_bars=False))


def _distribution(prediction: Prediction, chosen: int, *, with_bars: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    after = ["after the chain", ""] if with_bars else ["after"]
    for name in ("", "rank", "token", "id", *after, "raw", "cut by"):
        numeric = name in ("rank", "id", after[0], "raw")
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for c in prediction.candidates:
        token = Text(visible_token(c.text), style="bold" if c.id == chosen else "")
        first = ("▶" if c.id == chosen else " ", f"{c.rank:,}", token, str(c.id))
        table.add_row(
            *first,
            *_chances(c.probability, c.raw_probability, with_bars),
            c.cut_by or "",
            style=None if c.kept else "dim",
        )
    others = "all others" if prediction.rest_count is None else f"the other {prediction.rest_count:,}"
    chances = _chances(prediction.rest_probability, prediction.rest_raw_probability, with_bars)
    table.add_row("", "", others, "", *chances, "")
    return table


def _chances(after: float | None, raw: float | None, with_bars: bool) -> list[str | Bar]:
    bar = [Bar(size=1, begin=0, end=after or 0.0, width=_BAR_WIDTH)] if with_bars else []
    return [percent(after), *bar, percent(raw)]


def _summary(model: str, prediction: Prediction, drawn: float) -> tuple[tuple[list[str], str], ...]:
    """Lines, each in the pieces that it may be broken between, and what stands between them."""
    funnel = [f"{stage.name} {stage.alive:,}" for stage in prediction.stages]
    before = _undecided(prediction.entropy_bits, prediction.choices, " real choices")
    after = _undecided(prediction.chain_entropy_bits, prediction.chain_choices)
    return (
        ([model, f"temperature {prediction.settings.temperature:g}", f"drawn {drawn:.3f}"], "·"),
        ([f"model: {before}", f"after the chain: {after}"], "·"),
        (funnel, "→"),
    )


def _folded(pieces: Sequence[str], between: str, width: int) -> list[str]:
    """Lines of whole pieces, as many on each as there is room for; one that is wider has a line of its own."""
    lines: list[str] = []
    for piece in pieces:
        if lines and cell_len(f"{lines[-1]} {between} {piece} {between}") <= width:
            lines[-1] += f" {between} {piece}"
        else:
            if lines and cell_len(f"{lines[-1]} {between}") <= width:
                lines[-1] += f" {between}"
            lines.append(piece)
    return lines


def _undecided(bits: float | None, choices: float | None, unit: str = "") -> str:
    return UNKNOWN if bits is None or choices is None else f"{bits:.2f} bits, about {choices:,.1f}{unit}"


def show_tokens(tokens: Sequence[Mapping[str, Any]]) -> None:
    """One row per token: what it says, its id, its bytes."""
    table = Table(box=None, pad_edge=False)
    for name in ("n", "token", "id", "piece", "bytes"):
        table.add_column(name, overflow="fold")
    for n, token in enumerate(tokens):
        row = (visible_token(token["text"]), str(token["id"]), visible(token["piece"]), bytes(token["bytes"]).hex(" "))
        table.add_row(str(n), *(Text(cell) for cell in row))
    _Console().print(table)


def show_models(entries: Sequence[ModelEntry], available: AvailableMemory) -> None:
    """One row per model on this machine, and whether it fits where it would be opened.

    A name is there to be typed, so it is never cut: where the rows are wider than the terminal, each model has a name
    and what there is to know of it below.
    """
    console = _Console()
    table = _models(entries, with_notes=False)
    if console.fits(table, beside=_NOTE_WIDTH if any(map(_note, entries)) else 0):
        console.print(_models(entries, with_notes=True))
    else:
        for entry in entries:
            console.print(Text(visible(entry.name), style=_shade(entry)), soft_wrap=True)
            for line in _folded(_described(entry), "·", console.width - 2):
                console.print(Padding(Text(visible(line), style="dim"), (0, 0, 0, 2)))
    free = f", {_size(available.free)} free" if available.free is not None else ""
    where = f"{available.device} in {available.dtype}{free}"
    console.print(Text(f"Memory is for {where}. Open one with --model NAME.", style="dim"))
    for e in entries:
        if e.good_for is not None:
            console.print(Text(visible(f"{e.name} is good for {e.good_for}."), style="dim"))
    names = {e.name for e in entries}
    for package in (suggestion.package for suggestion in SUGGESTIONS):
        if package is not None and package.name not in names:
            offer = f"{package.name} ({_size(package.download)}) can be added, good for {package.good_for}"
            console.print(Text(f"{offer}: {package.command}", style="dim"), soft_wrap=True)


def _models(entries: Sequence[ModelEntry], *, with_notes: bool) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("name", "where", "licence", "family", "parameters", "size", "stored as", "context", "memory"):
        numeric = name in ("parameters", "size", "context", "memory")
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    if with_notes:
        table.add_column("", overflow="fold")
    for entry in entries:
        cells = _facts(entry) if with_notes else _facts(entry)[:-1]
        table.add_row(*(Text(visible(cell)) for cell in cells), style=_shade(entry))
    return table


def _shade(entry: ModelEntry) -> str:
    return "dim" if entry.problem or entry.fits == 0 else ""


def _facts(e: ModelEntry) -> list[str]:
    """What there is to know of a model, its name first and what stands in its way last."""
    where = e.origin or e.source
    cells = [e.name, where, e.licence or "", e.family or "", _short(e.parameters), _size(e.bytes), e.quantization or ""]
    return [*cells, f"{e.context:,}" if e.context else "", _size(e.needs), _note(e)]


def _described(e: ModelEntry) -> list[str]:
    """The same without a name, where no column says what is what."""
    context, memory = f"context {e.context:,}" if e.context else "", f"takes {_size(e.needs)}" if e.needs else ""
    parameters = f"{_short(e.parameters)} parameters" if e.parameters else ""
    size, stored = _size(e.bytes), e.quantization or ""
    return [
        fact
        for fact in (e.origin or e.source, e.licence, e.family, parameters, size, stored, context, memory, _note(e))
        if fact
    ]


def _note(entry: ModelEntry) -> str:
    """What stands in the way of a model, or is odd about it, if anything is."""
    if entry.problem:
        return entry.problem
    if entry.fits == 0:
        return "too large"
    shorter = entry.fits is not None and entry.context is not None and entry.fits < entry.context
    return "; ".join(filter(None, (f"context up to {entry.fits:,}" if shorter else "", entry.note)))


def _short(count: int | None) -> str:
    if not count:
        return ""
    return f"{count / 1e9:,.2f} B" if count >= 1e9 else f"{count / 1e6:,.2f} M"


def _size(n_bytes: int | None) -> str:
    if not n_bytes:
        return ""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def show_bench(record: Mapping[str, Any]) -> None:
    """Two speeds, what they were measured with, and how near decoding comes to the speed of memory."""
    console = _Console()
    where = f"{record['parameters'] / 1e6:,.2f} M parameters, {record['device']}, {record['precision']}"
    console.print(Text(f"{visible(record['model'])}: {where}"))
    for what, tokens in (("prefill", "prompt_tokens"), ("decode", "new_tokens")):
        console.print(f"{what:8} {record[f'{what}_tokens_per_second']:>12,.1f} tokens/s   ({record[tokens]} tokens)")
    if "draft" in record:
        alone = f"{record['undrafted_tokens_per_second']:,.1f} alone"
        right = f"{record['right_guesses']:,} of {record['guesses']:,} guesses right"
        console.print(f"drafted  {record['drafted_tokens_per_second']:>12,.1f} tokens/s   ({alone}; {right})")
    if "limit_tokens_per_second" in record:
        read = (
            f"{record['bytes_per_token'] / 1e6:,.0f} MB per token at {record['read_bytes_per_second'] / 1e9:.1f} GB/s"
        )
        console.print(f"limit    {record['limit_tokens_per_second']:>12,.1f} tokens/s   ({read})")
        console.print(f"decoding reaches {record['share_of_limit']:.0%} of the limit")
    if record["fallback_reason"] is not None:
        console.print(Text(f"Decoding runs in plain torch: {record['fallback_reason']}."))
    elif record["decoding"] != "C":
        not_compiled = f"; not compiled: {record['why_not_compiled']}" if record["why_not_compiled"] else ""
        console.print(Text(f"Decoding runs as a {record['decoding']}{not_compiled}."))
