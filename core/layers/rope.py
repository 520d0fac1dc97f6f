"""Rotary position embedding (rope): by which angle pairs of channels are rotated. Must not know a layer or a cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from core.config import RopeConfig

CosSin = tuple[Tensor, Tensor]  # of the angles, each (time, width / 2); width: the channels of a head that are rotated


class RotaryEmbedding(nn.Module):
    """The angles of positions, with longrope others in long texts than in short ones. Nothing here is learned."""

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
        """cos and sin, each (time, width / 2), for positions (time,).

        Args:
            long: the text is longer than longrope's original context; without longrope it makes no difference.
        """
        long = long and self.rope.scaling == "longrope"
        angle = positions[:, None] * (self.long_frequencies if long else self.frequencies)  # (time, width / 2)
        if self.rope.magnitude == 1.0:
            return angle.cos(), angle.sin()
        return angle.cos() * self.rope.magnitude, angle.sin() * self.rope.magnitude


def apply_rope(x: Tensor, cos_sin: CosSin) -> Tensor:
    """Rotate the leading channels of queries or keys x (batch, heads, time, d_head) by their position's angles.

    A pair is channel i and i + width / 2 (as in transformers; llama.cpp calls it NeoX order). Returns the same shape.
    """
    cos, sin = cos_sin
    half = cos.shape[-1]
    a, b, rest = x[..., :half].float(), x[..., half : 2 * half].float(), x[..., 2 * half :]
    rotated = torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)
    return torch.cat((rotated.to(x.dtype), rest), dim=-1)


def rope_frequencies(rope: RopeConfig, width: int, *, long: bool = False) -> Tensor:
    """Angle in radians by which each pair of channels is rotated per position: (width / 2,).

    `RopeConfig` says which paper each scaling is from.
    """
    frequency = 1 / rope.theta ** (torch.arange(0, width, 2, dtype=torch.float32) / width)
    if rope.factors:
        frequency = frequency / torch.tensor(rope.factors)
    match rope.scaling:
        case "linear":
            return frequency / rope.factor
        case "longrope":
            return frequency / torch.tensor(rope.long_factors if long else rope.short_factors)
        case "llama3":
            keep = _kept_by_llama3(rope, frequency)
        case "yarn":
            keep = _kept_by_yarn(rope, width)
        case _:
            return frequency
    return frequency * keep + frequency / rope.factor * (1 - keep)


def _kept_by_llama3(rope: RopeConfig, frequency: Tensor) -> Tensor:
    """How much of each pair's frequency (width / 2,) stays: 1 as it was trained, 0 stretched in full.

    Between the two, linear in the rotations that a pair makes over the original context.
    """
    rotations = rope.original_context * frequency / (2 * math.pi)
    low, high = rope.low_frequency_factor, rope.high_frequency_factor
    return ((rotations - low) / (high - low)).clamp(0, 1)


def _kept_by_yarn(rope: RopeConfig, width: int) -> Tensor:
    """The same for yarn: between the two, linear in the number of the pair (arXiv 2309.00071, 3.2)."""

    def pair_with(rotations: float) -> float:
        return width * math.log(rope.original_context / (rotations * 2 * math.pi)) / (2 * math.log(rope.theta))

    first, last = pair_with(rope.high_frequency_factor), pair_with(rope.low_frequency_factor)
    if rope.whole_pairs:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    if first == last:
        last += 0.001
    return 1 - ((torch.arange(width // 2) - first) / (last - first)).clamp(0, 1)
