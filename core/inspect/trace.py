"""One eager pass over a text that keeps what goes by at named taps. Must not know a backend or fill a cache."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from core.layers.taps import Taps
from core.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What the taps of one pass gave. Shapes are those of core/layers/taps.py, without the batch axis."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]  # of the rows along the time axis
    values: Mapping[str, tuple[Tensor, ...]]  # by tap, a tensor per layer; of `embedding` and `hidden` a single one

    def __getitem__(self, name: str) -> tuple[Tensor, ...]:
        return self.values[name]


@torch.inference_mode()
def trace(
    transformer: Transformer, ids: Sequence[int], names: Iterable[str], *, positions: Sequence[int] | None = None
) -> Trace:
    """Read a text from its beginning, in one pass without a cache, and keep what was asked for.

    Scores and weights of all positions take layers x heads x len(ids)^2 x 4 bytes each: for long texts ask for few
    positions.

    Args:
        names: of taps, see `core.layers.taps.tap_names`.
        positions: those to keep, from 0 on; None for all. Keys and values are kept of every position.

    Raises:
        ValueError: there are no ids or more than fit, an id or position that is none, or the model has no such tap.
    """
    config, kept = transformer.config, tuple(range(len(ids)) if positions is None else positions)
    if not 1 <= len(ids) <= config.context_length:
        raise ValueError(f"a text to trace has 1 to {config.context_length} tokens, not {len(ids)}")
    if unknown := [token_id for token_id in ids if not 0 <= token_id < config.vocab_size]:
        raise ValueError(f"there is no token {unknown[0]} in a vocabulary of {config.vocab_size}")
    if outside := [position for position in kept if not 0 <= position < len(ids)]:
        raise ValueError(f"there is no position {outside[0]} in a text of {len(ids)} tokens")
    taps = Taps(config, names, positions=None if positions is None else kept)
    device = next(transformer.parameters()).device
    transformer(torch.tensor([list(ids)], device=device), taps=taps)
    values = {name: tuple(tensor[0] for tensor in tensors) for name, tensors in taps.seen.items()}
    return Trace(ids=tuple(ids), positions=kept, values=values)
