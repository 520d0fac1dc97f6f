"""What a family of models is to a reader: where its tensors lie, and how to read its config.json. Names no family."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from core.config import ModelConfig
from weights.untrusted.checked_json import CheckedJson

Shapes = Mapping[str, tuple[int, ...]]
Index = tuple[int | slice, ...]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a stored tensor, and which part of ours it is."""

    name: str  # of the stored tensor
    shape: tuple[int, ...]  # of the whole stored tensor
    stored: Index
    ours: Index


class Counted(Protocol):
    """A stored tensor, as far as its size goes."""

    @property
    def n_values(self) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one of our tensors lies, and what is to be undone to it."""

    pieces: tuple[Piece, ...]
    transposed: bool
    plus_one: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the tensors of a model are called, and what was done to them before they were stored.

    In a name of ours, {} stands for the number of an expert. In one of theirs too; where only theirs has it, each row
    of ours is stored alone, and where only ours has it, all experts are stored as one.
    """

    names: Mapping[str, str] = field(default_factory=dict)  # a name that is not here is the same on both sides
    other_names: tuple[Mapping[str, str], ...] = ()  # some checkpoints go by these instead
    prefix: str = "model."  # often left out by whoever stored the model without its head
    layer: str = "model.layers.{}."
    transposed: frozenset[str] = frozenset()  # matrices stored as (in, out)
    by_head: frozenset[str] = frozenset()  # ours lie in these head by head: query, key and value of the first, ...
    unnamed: frozenset[str] = frozenset()  # weights stored without .weight at the end
    unused_rows: Mapping[str, int] = field(default_factory=dict)  # of ours: rows stored before the first that is used
    plus_one: bool = False  # norm weights are stored less one
    ignored_suffixes: tuple[str, ...] = (
        ".rotary_emb.inv_freq",
    )  # endings of stored tensors that are computed, not learned
    described_by: str = "config.json"  # how a sentence about the sizes of the model begins

    @property
    def head(self) -> str:
        """The name of its unembedding matrix."""
        return self.names.get("head", "head") + ".weight"

    @property
    def ends(self) -> frozenset[str]:
        """The names of its embedding and unembedding matrices, with the prefix and without."""
        embedding = self.names.get("embedding", "embedding") + ".weight"
        return frozenset((embedding, embedding.removeprefix(self.prefix), self.prefix + embedding, self.head))

    def is_ignored(self, name: str) -> bool:
        return name.endswith(self.ignored_suffixes)

    def count_parameters(self, stored: Mapping[str, Counted], config: ModelConfig) -> int:
        """Of stored tensors, by name: without what is ignored, and a tied matrix that is stored twice once."""
        twice = {self.as_stored(stored).head} if config.tied_embeddings else set()
        return sum(
            tensor.n_values for name, tensor in stored.items() if name not in twice and not self.is_ignored(name)
        )

    def as_stored(self, stored: Collection[str]) -> Self:
        """The same with the names that most of these stored tensors go by."""
        if not self.other_names:
            return self

        def known(names: Mapping[str, str]) -> int:
            return sum(any(theirs.format(0) in name for name in stored) for theirs in set(names.values()))

        return replace(self, names=max((self.names, *self.other_names), key=known))

    def locate(self, name: str, shapes: Shapes, config: ModelConfig) -> Source:
        """Where our tensor `name` lies, given the shapes of all of ours."""
        _, stem, expert, kind = _split(name)
        theirs = self.names.get(stem, stem)
        transposed = kind == "weight" and theirs in self.transposed
        if expert is None and "{}" in theirs:
            pieces = self._rows_alone(name, shapes[name])
        else:
            runs = self._runs(name, shapes, config.n_heads if theirs in self.by_head else 1)
            n_experts = config.n_experts if expert is not None and "{}" not in theirs else None
            pieces = self._rows_in_one(name, shapes, runs, n_experts, transposed)
        return Source(pieces=tuple(pieces), transposed=transposed, plus_one=self.plus_one and stem.endswith("norm"))

    def _rows_alone(self, name: str, shape: tuple[int, ...]) -> Iterator[Piece]:
        n_rows, *rest = shape
        for n in range(n_rows):
            yield Piece(name=self._stored_name(name, n), shape=tuple(rest), stored=(slice(0, rest[0]),), ours=(n,))

    def _rows_in_one(
        self, name: str, shapes: Shapes, runs: list[tuple[slice, slice]], n_experts: int | None, transposed: bool
    ) -> Iterator[Piece]:
        expert = _split(name)[2]
        shape = (self._n_stored_rows(name, shapes), *shapes[name][1:])
        before: Index = ()
        if transposed:
            shape, before = shape[::-1], (slice(0, shape[1]),)
        if n_experts is not None:
            assert expert is not None
            shape, before = (n_experts, *shape), (expert,)
        for stored, ours in runs:
            yield Piece(name=self._stored_name(name, expert), shape=shape, stored=(*before, stored), ours=(ours,))

    def _stored_name(self, name: str, number: int | None) -> str:
        block, stem, _, kind = _split(name)
        theirs = self.names.get(stem, stem)
        layer = self.layer.format(block.split(".")[1]) if block else ""
        return layer + theirs.format(number) + ("" if theirs in self.unnamed else f".{kind}")

    def _n_stored_rows(self, name: str, shapes: Shapes) -> int:
        return self.unused_rows.get(_split(name)[1], 0) + sum(rows for _, rows in self._sharing(name, shapes))

    def _runs(self, name: str, shapes: Shapes, heads: int) -> list[tuple[slice, slice]]:
        """Which runs of the stored rows are which of ours: one, or one per head."""
        sizes = dict(self._sharing(name, shapes))
        before = sum(list(sizes.values())[: list(sizes).index(name)])
        first = self.unused_rows.get(_split(name)[1], 0) + before // heads
        step, stride = sizes[name] // heads, sum(sizes.values()) // heads
        return [
            (slice(first + n * stride, first + n * stride + step), slice(n * step, n * step + step))
            for n in range(heads)
        ]

    def _sharing(self, name: str, shapes: Shapes) -> Iterator[tuple[str, int]]:
        """Those of our tensors that are stored as one with this one, in their order, and their numbers of rows."""
        block, stem, expert, kind = _split(name)
        theirs = self.names.get(stem, stem)
        for ours in [ours for ours, theirs_ in self.names.items() if theirs_ == theirs] or [stem]:
            full = f"{block}{ours if expert is None else ours.format(expert)}.{kind}"
            if full in shapes:
                yield full, shapes[full][0]


@dataclass(frozen=True, kw_only=True)
class Family(Layout):
    """One family's words. `defaults` are what a key left out of its config.json means."""

    architecture: str  # the class of transformers that its checkpoints are of; any other computes something else
    read: Callable[[CheckedJson], ModelConfig]
    defaults: Mapping[str, object] = field(default_factory=dict)


def _split(name: str) -> tuple[str, str, int | None, str]:
    """ "blocks.3.attention.query.weight" -> "blocks.3.", "attention.query", None (no number of an expert), "weight"."""
    parts = re.fullmatch(r"(blocks\.\d+\.)?(.+?)(?:(?<=\.experts)\.(\d+)(\..+))?\.(\w+)", name)
    assert parts is not None  # every parameter has a name and a kind
    block, stem, expert, rest, kind = parts.groups()
    if expert is None:
        return block or "", stem, None, kind
    return block or "", f"{stem}.{{}}{rest}", int(expert), kind
