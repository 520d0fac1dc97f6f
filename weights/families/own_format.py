"""Our own format's config.json: the fields of `ModelConfig` as they are. Knows no family and no torch."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args, get_origin, get_type_hints

from core.config import ModelConfig, RopeConfig
from weights.untrusted.checked_json import MAX_COUNT, CheckedJson

# What the first files call fields and choices.
_RENAMED = {"rotary": "rope", "rotary_local": "rope_local", "unturned_layers": "nope_layers"}
_ROTARY = {"rotary": "rope"}


def read_own(keys: CheckedJson) -> ModelConfig:
    """Our own format: the fields of `ModelConfig`, as they are."""
    fields = keys.table("transformer")
    if fields is None:
        raise keys.bad("transformer", "an object with the fields of a transformer")
    fields = fields.renamed(_RENAMED)
    values = _read_fields(ModelConfig, fields)
    for name in ("rope", "rope_local"):
        if table := fields.table(name):
            values[name] = RopeConfig(**_read_fields(RopeConfig, table))
    return ModelConfig(**values)


def fields_of(config: ModelConfig) -> dict[str, Any]:
    """What `read_own` reads, ready for JSON."""
    fields = dataclasses.asdict(config)
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in fields.items()}


def _read_fields(kind: type, keys: CheckedJson) -> dict[str, Any]:
    """Values for a dataclass's fields, each of the type the field has."""
    types = get_type_hints(kind)
    values: dict[str, Any] = {}
    for field_ in dataclasses.fields(kind):
        value = keys.value(field_.name)
        if field_.name == "positions" and isinstance(value, str):
            value = _ROTARY.get(value, value)
        if value is None and field_.default is dataclasses.MISSING:
            raise keys.bad(field_.name, "a whole number of at least 1")
        if value is None:
            continue
        if not _fits(value, types[field_.name]):
            raise keys.unsupported(field_.name)
        if type(value) is int and value > MAX_COUNT:
            raise keys.bad(field_.name, f"at most {MAX_COUNT:,}")
        collect = get_origin(types[field_.name])
        values[field_.name] = collect(value) if collect in (frozenset, tuple) and isinstance(value, list) else value
    for unknown in sorted(keys.unasked()):
        raise keys.unsupported(unknown)
    return values


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is frozenset:
        return isinstance(value, list) and all(type(item) is int for item in value)
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_fits(item, float) for item in value)
    if options := get_args(kind):
        return any(_fits(value, option) for option in options)
    if kind is RopeConfig:
        return isinstance(value, dict)
    return type(value) is kind or (kind is float and type(value) is int)
