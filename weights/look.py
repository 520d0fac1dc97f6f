"""A model is looked at, not opened: what it is, how big, whether it would open and fit. Must not know torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from core.errors import LogitscopeError, OutOfMemory
from weights import downloads, memory
from weights.checkpoint import Checkpoint, Stored
from weights.families import read_config
from weights.gguf_summary import Summary, read_summary
from weights.memory import Need
from weights.room import Room
from weights.scan import Found, parts_of
from weights.shelf import ShelfEntry


def look(found: Found, room: Room | None = None, context: int | None = None) -> ShelfEntry:
    """One line of the listing. What cannot be told is left out, with the reason as its `problem`."""
    entry = ShelfEntry(name=found.name, path=found.path, source=found.source)
    if (stopped := downloads.unfinished(found.path)) is not None:
        return replace(entry, problem=stopped)
    return _checkpoint(entry, room, context) if found.path.is_dir() else _gguf(entry, room, context)


def gguf_problem(path: Path) -> str | None:
    """Why a GGUF file cannot be opened: the word of its reader; None if it can be."""
    return "Only safetensors checkpoints can be opened, not GGUF files."


def _checkpoint(entry: ShelfEntry, room: Room | None, context: int | None) -> ShelfEntry:
    try:
        checkpoint = Checkpoint(entry.path)
        kind = checkpoint.config.get("model_type")
        entry = replace(entry, family=kind if isinstance(kind, str) else None)
        family, config = read_config(checkpoint.config)
        entry = replace(entry, context=config.context_length, bytes=checkpoint.n_bytes)
        parameters = family.count_parameters(checkpoint.tensors, config)
        entry = replace(entry, parameters=parameters, quantisation=_format(checkpoint.tensors))
        _ = checkpoint.tokenizer_file
    except LogitscopeError as error:
        return replace(entry, problem=error.message)
    return _fitted(entry, memory.need_of(config, parameters), room, context)


def _format(tensors: Mapping[str, Stored]) -> str | None:
    """The number format that most of the weights are stored in."""
    sizes: dict[str, int] = {}
    for stored in tensors.values():
        sizes[stored.dtype] = sizes.get(stored.dtype, 0) + stored.n_values
    return max(sizes, key=lambda kind: sizes[kind], default=None)


def _gguf(entry: ShelfEntry, room: Room | None, context: int | None) -> ShelfEntry:
    try:
        files = [entry.path.with_name(name) for name in parts_of(entry.path.name)]
        summaries = [read_summary(file) for file in files]
        entry = replace(
            entry,
            family=summaries[0].architecture,
            parameters=sum(summary.n_parameters for summary in summaries),
            bytes=sum(file.stat().st_size for file in files),
            quantisation=summaries[0].quantisation,
            context=summaries[0].context,
            problem=gguf_problem(entry.path),
        )
    except LogitscopeError as error:
        return replace(entry, problem=error.message)
    need = _need_of_gguf(summaries[0], entry.parameters or 0)
    return entry if need is None else _fitted(entry, need, room, context)


def _need_of_gguf(summary: Summary, n_parameters: int) -> Need | None:
    if summary.cache_values is None or summary.context is None:
        return None
    return Need(n_parameters=n_parameters, cache_values=summary.cache_values, context=summary.context)


def _fitted(entry: ShelfEntry, need: Need, room: Room | None, context: int | None) -> ShelfEntry:
    if room is None:
        return entry
    asked = min(context, need.context) if context else None
    try:
        tokens = memory.context_that_fits(need, room, asked=asked, name=entry.name)
    except OutOfMemory:
        return replace(entry, needs=need.total(room.dtype, asked or need.least_context), fits=0)
    return replace(entry, needs=need.total(room.dtype, tokens), fits=tokens if room.free is not None else None)
