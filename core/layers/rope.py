"""Rotary position embedding: by which angle each pair of channels turns. Knows no layer and no cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.config import RopeConfig

CosSin = tuple[Tensor, Tensor]  # cos, sin, each (time, width / 2)


class RotaryEmbedding(nn.Module):
    """The angles of all positions, for texts of ordinary length and for long ones. Nothing here is learned."""

    frequencies: Tensor
    long_frequencies: Tensor

    def __init__(self, rope: RopeConfig, d_head: int) -> None:
        super().__init__()
        self.rope = rope
        width = rope.width or d_head
        self.register_buffer("frequencies", rope_frequencies(rope, width), persistent=False)
        if rope.scaling == "longrope":
            self.register_buffer("long_frequencies", rope_frequencies(rope, width, long=True), persistent=False)

    def forward(self, positions: Tensor, *, long: bool = False) -> CosSin:
        """cos and sin, each (time, width / 2), for positions (time,)."""
        long = long and self.rope.scaling == "longrope"
        angle = positions[:, None] * (self.long_frequencies if long else self.frequencies)  # (time, width / 2)
        if self.rope.magnitude == 1.0:
            return angle.cos(), angle.sin()
        return angle.cos() * self.rope.magnitude, angle.sin() * self.rope.magnitude


def apply_rope(x: Tensor, turns: CosSin) -> Tensor:
    """Turn the leading channels of x (batch, heads, time, d_head) by their position's angles."""
    cos, sin = turns
    half = cos.shape[-1]
    a, b, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
    turned = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    return torch.cat((turned.to(x.dtype), rest), dim=-1)


def rope_frequencies(rope: RopeConfig, width: int, *, long: bool = False) -> Tensor:
    """Angle in radians by which each pair of channels turns per position: (width / 2,)."""
    frequency = 1 / rope.theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    if rope.factors:
        frequency = frequency / torch.tensor(rope.factors)
    match rope.scaling:
        case "linear":
            return frequency / rope.factor
        case "longrope":
            return frequency / torch.tensor(rope.long_factors if long else rope.short_factors)
        case "llama3":
            keep = _kept_by_turns(rope, frequency)
        case "yarn":
            keep = _kept_by_place(rope, width)
        case _:
            return frequency
    return frequency * keep + frequency / rope.factor * (1 - keep)


def _kept_by_turns(rope: RopeConfig, frequency: Tensor) -> Tensor:
    """1 for a pair that turns as it was trained to, 0 for one that is stretched in full: linear in its turns."""
    turns = rope.original_context * frequency / (2 * math.pi)
    low, high = rope.low_frequency_factor, rope.high_frequency_factor
    return ((turns - low) / (high - low)).clamp(0, 1)


def _kept_by_place(rope: RopeConfig, width: int) -> Tensor:
    """The same, linear in the number of the pair between those that turn just so often (arXiv 2309.00071, 3.2)."""

    def pair_with(turns: float) -> float:
        return width * math.log(rope.original_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    first, last = pair_with(rope.high_frequency_factor), pair_with(rope.low_frequency_factor)
    if rope.whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    if first == last:
        last += 0.001
    return 1 - ((torch.arange(width // 2) - first) / (last - first)).clamp(0, 1)
