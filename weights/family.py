"""What a family of models is to a reader: where its tensors lie, and how to read its config.json. Names no family."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from core.config import ModelConfig
from weights.keys import Keys


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one of our tensors lies, and what is to be undone to it."""

    name: str  # of the stored tensor
    shape: tuple[int, ...]  # of the stored tensor
    rows: slice  # ours are these along the output axis
    transposed: bool
    plus_one: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What the tensors of a model are called, and what was done to them before they were stored."""

    names: Mapping[str, str] = field(default_factory=dict)  # a name that is not here is the same on both sides
    prefix: str = "model."  # often left out by whoever stored the model without its head
    layer: str = "model.layers.{}."
    transposed: frozenset[str] = frozenset()  # matrices stored as (in, out)
    plus_one: bool = False  # norm weights are stored less one
    ballast: tuple[str, ...] = (".rotary_emb.inv_freq",)  # endings of stored tensors that are computed, not learned

    @property
    def head(self) -> str:
        """The name of its unembedding matrix."""
        return self.names.get("head", "head") + ".weight"

    def is_ballast(self, name: str) -> bool:
        return name.endswith(self.ballast)

    def locate(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> Source:
        """Where our tensor `name` lies, given the shapes of all of ours."""
        block, stem, kind = _split(name)
        theirs = self.names.get(stem, stem)
        parts = [ours for ours, name_ in self.names.items() if name_ == theirs and f"{block}{ours}.{kind}" in shapes]
        before = 0
        for part in parts[: parts.index(stem)] if stem in parts else ():
            before += shapes[f"{block}{part}.{kind}"][0]
        total = sum(shapes[f"{block}{part}.{kind}"][0] for part in parts or [stem])
        shape = (total, *shapes[name][1:])
        transposed = kind == "weight" and theirs in self.transposed
        layer = self.layer.format(block.split(".")[1]) if block else ""
        return Source(
            name=f"{layer}{theirs}.{kind}",
            shape=shape[::-1] if transposed else shape,
            rows=slice(before, before + shapes[name][0]),
            transposed=transposed,
            plus_one=self.plus_one and stem.endswith("norm"),
        )


@dataclass(frozen=True, kw_only=True)
class Family(Layout):
    """One family's words. `defaults` are what a key left out of its config.json means."""

    architecture: str  # the class of transformers that its checkpoints are of; any other computes something else
    read: Callable[[Keys], ModelConfig]
    defaults: Mapping[str, object] = field(default_factory=dict)


def _split(name: str) -> tuple[str, str, str]:
    """ "blocks.3.attention.query.weight" -> "blocks.3.", "attention.query", "weight"."""
    block, rest = "", name
    if name.startswith("blocks."):
        _, layer, rest = name.split(".", 2)
        block = f"blocks.{layer}."
    stem, _, kind = rest.rpartition(".")
    return block, stem, kind
