"""What the headless commands print for people: plain tables with Rich. Text from a model or a file is never markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.bar import Bar
from rich.console import Console
from rich.table import Table
from rich.text import Text

from core.records import Prediction
from tui.format import UNKNOWN, percent
from tui.sanitize import visible, visible_token

if TYPE_CHECKING:
    from weights.fit.available import AvailableMemory
    from weights.library.entry import ModelEntry

_BAR_WIDTH = 24


def show_prediction(model: str, prediction: Prediction, *, chosen: int, drawn: float) -> None:
    """A next-token distribution as rows with bars, the rest of the vocabulary last."""
    table = Table("", "rank", "token", "id", "after the chain", "", "raw", "cut by", box=None, pad_edge=False)
    for column in (1, 3, 4, 6):
        table.columns[column].justify = "right"
    for c in prediction.candidates:
        table.add_row(
            "▶" if c.id == chosen else " ",
            f"{c.rank:,}",
            Text(visible_token(c.text), style="bold" if c.id == chosen else ""),
            str(c.id),
            percent(c.probability),
            Bar(size=1, begin=0, end=c.probability, width=_BAR_WIDTH),
            percent(c.raw_probability),
            c.cut_by or "",
            style=None if c.kept else "dim",
        )
    others = "all others" if prediction.rest_count is None else f"the other {prediction.rest_count:,}"
    bar = Bar(size=1, begin=0, end=prediction.rest_probability or 0.0, width=_BAR_WIDTH)
    chances = (percent(prediction.rest_probability), bar, percent(prediction.rest_raw_probability))
    table.add_row("", "", others, "", *chances, "")
    console = Console(highlight=False)
    console.print(Text(_summary(visible(model), prediction, drawn)))
    console.print(table)


def _summary(model: str, prediction: Prediction, drawn: float) -> str:
    funnel = " → ".join(f"{stage.name} {stage.alive:,}" for stage in prediction.stages)
    before = _undecided(prediction.entropy_bits, prediction.choices, " real choices")
    after = _undecided(prediction.chain_entropy_bits, prediction.chain_choices)
    return (
        f"{model} · temperature {prediction.settings.temperature:g} · drawn {drawn:.3f}\n"
        f"model: {before} · after the chain: {after}\n{funnel}"
    )


def _undecided(bits: float | None, choices: float | None, unit: str = "") -> str:
    return UNKNOWN if bits is None or choices is None else f"{bits:.2f} bits, about {choices:,.1f}{unit}"


def show_tokens(tokens: Sequence[Mapping[str, Any]]) -> None:
    """One row per token: what it says, its id, its bytes."""
    table = Table("n", "token", "id", "piece", "bytes", box=None, pad_edge=False)
    for n, token in enumerate(tokens):
        row = (visible_token(token["text"]), str(token["id"]), visible(token["piece"]), bytes(token["bytes"]).hex(" "))
        table.add_row(str(n), *(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def show_models(entries: Sequence[ModelEntry], available: AvailableMemory) -> None:
    """One row per model on this machine, and whether it fits where it would be opened."""
    columns = ("name", "where", "family", "parameters", "size", "stored as", "context", "memory", "")
    table = Table(*columns, box=None, pad_edge=False)
    for column in (3, 4, 6, 7):
        table.columns[column].justify = "right"
    for e in entries:
        cells = [e.name, e.source, e.family or "", _short(e.parameters), _size(e.bytes), e.quantization or ""]
        cells += [f"{e.context:,}" if e.context else "", _size(e.needs), _note(e)]
        table.add_row(*(Text(visible(cell)) for cell in cells), style="dim" if e.problem or e.fits == 0 else None)
    console = Console(highlight=False)
    console.print(table)
    free = f", {_size(available.free)} free" if available.free is not None else ""
    where = f"{available.device} in {available.dtype}{free}"
    console.print(Text(f"Memory is for {where}. Open one with --model NAME.", style="dim"))


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
    console = Console(highlight=False)
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
