"""A model is looked at, not opened: what it is, how big, whether it would open and fit. Must not know torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from core.errors import LogitscopeError, OutOfMemory
from weights.fit import quantization as quantisation
from weights.fit import requirement as memory
from weights.fit.available import AvailableMemory
from weights.fit.requirement import MemoryRequirement
from weights.library import download_record as downloads
from weights.library.listing import ShelfEntry
from weights.library.scan import Found
from weights.model_files import ModelFiles, StoredTensor, check_format
from weights.open import open_files


def look(found: Found, room: AvailableMemory | None = None, context: int | None = None) -> ShelfEntry:
    """One line of the listing. What cannot be told is left out, with the reason as its `problem`."""
    entry = ShelfEntry(name=found.name, path=found.path, source=found.source)
    if (stopped := downloads.unfinished(found.path)) is not None:
        return replace(entry, problem=stopped)
    try:
        files = open_files(found.path)
        entry = _told(entry, files)
        layout, config = files.read_config()
        parameters = layout.count_parameters(files.tensors, config)
        number_format = entry.quantisation or _most_used_format(files.tensors)
        entry = replace(entry, context=config.context_length, parameters=parameters, quantisation=number_format)
        for name, stored in files.tensors.items():
            if not layout.is_ignored(name):
                check_format(stored)
        files.check_tokenizer()
    except LogitscopeError as error:
        return replace(entry, problem=error.message)
    bits = None
    if room is not None and quantisation.keeps_stored_format(room.device, room.dtype):
        bits = quantisation.bits_as_stored(files.tensors, layout.ends, memory.BITS[room.dtype])
    return _fitted(entry, memory.requirement_of(config, parameters, bits), room, context)


def _told(entry: ShelfEntry, files: ModelFiles) -> ShelfEntry:
    """What the files say of themselves, whether or not their family is known here."""
    entry = replace(entry, family=files.kind, quantisation=files.quantisation, bytes=_size(files))
    entry = replace(entry, context=files.said_context)
    with suppress(LogitscopeError):  # what is wrong with a file of weights is told after what is wrong with the config
        stored = files.stored
        parameters = sum(one.n_values for one in stored.values())
        entry = replace(
            entry, parameters=parameters or None, quantisation=entry.quantisation or _most_used_format(stored)
        )
    return entry


def _size(files: ModelFiles) -> int | None:
    """In bytes; None if a file is missing, which whoever reads it will tell."""
    with suppress(LogitscopeError, OSError):
        return files.n_bytes
    return None


def _most_used_format(tensors: Mapping[str, StoredTensor]) -> str | None:
    """The number format that most of the weights are stored in."""
    sizes: dict[str, int] = {}
    for stored in tensors.values():
        sizes[stored.dtype] = sizes.get(stored.dtype, 0) + stored.n_values
    return max(sizes, key=lambda kind: sizes[kind], default=None)


def _fitted(
    entry: ShelfEntry, need: MemoryRequirement, room: AvailableMemory | None, context: int | None
) -> ShelfEntry:
    if room is None:
        return entry
    asked = min(context, need.context) if context else None
    try:
        tokens = memory.context_that_fits(need, room, asked=asked, name=entry.name)
    except OutOfMemory:
        return replace(entry, needs=need.total(room.dtype, asked or need.least_context), fits=0)
    return replace(entry, needs=need.total(room.dtype, tokens), fits=tokens if room.free is not None else None)
