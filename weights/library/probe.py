"""A model is looked at, not opened: what it is, how big, whether it would open and fit. Must not know torch."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from core.errors import LogitscopeError, OutOfMemory
from weights.fit.available import AvailableMemory
from weights.fit.quantization import bits_as_stored, keeps_stored_format
from weights.fit.requirement import DTYPE_BITS, MemoryRequirement, context_that_fits, requirement_of
from weights.library.download_record import unfinished
from weights.library.entry import ModelEntry
from weights.library.scan import FoundModel
from weights.library.suggestions import good_for
from weights.model_files import ModelFiles, StoredTensor, check_format
from weights.open import open_files


def look(model: FoundModel, available: AvailableMemory | None = None, context: int | None = None) -> ModelEntry:
    """One line of the listing. What cannot be told is left out, with the reason as its `problem`."""
    entry = ModelEntry(**vars(model), good_for=good_for(model.name))
    if (problem := unfinished(model.path)) is not None:
        return replace(entry, problem=problem)
    try:
        files = open_files(model.path)
        entry = _stated(entry, files)
        layout, config = files.read_config()
        parameters = layout.count_parameters(files.tensors, config)
        number_format = entry.quantization or _most_used_format(files.tensors)
        entry = replace(entry, context=config.context_length, parameters=parameters, quantization=number_format)
        for name, stored in files.tensors.items():
            if not layout.is_ignored(name):
                check_format(stored)
        files.check_tokenizer()
        entry = replace(entry, note=" ".join(files.notes) or None)
    except LogitscopeError as error:
        return replace(entry, problem=error.message)
    bits = None
    if available is not None and keeps_stored_format(available.device, available.dtype):
        bits = bits_as_stored(files.tensors, layout.ends, DTYPE_BITS[available.dtype])
    return _fitted(entry, requirement_of(config, parameters, bits), available, context)


def _stated(entry: ModelEntry, files: ModelFiles) -> ModelEntry:
    """What the files say of themselves, whether or not their family is known here."""
    entry = replace(entry, family=files.kind, quantization=files.quantization, bytes=_size(files))
    entry = replace(entry, context=files.stated_context)
    with suppress(LogitscopeError):  # what is wrong with a file of weights is told after what is wrong with the config
        stored = files.stored
        parameters = sum(tensor.n_values for tensor in stored.values())
        entry = replace(
            entry, parameters=parameters or None, quantization=entry.quantization or _most_used_format(stored)
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
    entry: ModelEntry, requirement: MemoryRequirement, available: AvailableMemory | None, context: int | None
) -> ModelEntry:
    if available is None:
        return entry
    asked = min(context, requirement.context) if context else None
    try:
        tokens = context_that_fits(requirement, available, asked=asked, name=entry.name)
    except OutOfMemory:
        needs = requirement.total(available.dtype, asked or requirement.least_context)
        return replace(entry, needs=needs, fits=0)
    fits = tokens if available.free is not None else None
    return replace(entry, needs=requirement.total(available.dtype, tokens), fits=fits)
