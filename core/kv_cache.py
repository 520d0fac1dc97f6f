"""The KV cache: keys and values already computed, so that no token is read twice. Knows no token ids and no model."""

from __future__ import annotations

import torch
from torch import Tensor

from core.config import ModelConfig
from core.native.arena import in_large_pages

GROWTH = 256  # positions that are added at least: few copies, little waste


class KVCache:
    """One slab of keys and one of values per layer for a single sequence, grown in steps up to the context length.

    Axes of `keys` and `values` are (layers, 1, kv_heads, positions, d_head). Positions below `length` are filled.
    Keys are stored after rope, so with longrope they are only good for texts that are rotated alike: all of them
    short, or all of them long.
    """

    def __init__(self, config: ModelConfig, *, device: torch.device, dtype: torch.dtype) -> None:
        self.limit = config.context_length
        self.length = 0
        self.long = False  # whether the keys were rotated as in a long text, see `ModelConfig.uses_long_rope`
        self.text_length = 0  # of the text that is being read, if more of it follows in later passes
        self._config = config
        shape = (config.n_layers, 1, config.n_kv_heads, min(GROWTH, self.limit), config.d_head)
        self.keys, self.values = in_large_pages(shape, dtype, device), in_large_pages(shape, dtype, device)

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    @property
    def n_bytes(self) -> int:
        """Memory held, in bytes."""
        return self.keys.nbytes + self.values.nbytes

    def reserve(self, length: int) -> None:
        """Make room for `length` positions.

        Raises:
            ValueError: more than the context length.
        """
        if length > self.limit:
            raise ValueError(f"{length} positions do not fit in a context of {self.limit}")
        if length <= self.capacity:
            return
        capacity = max(length, self.capacity + self.capacity // 4)  # by a part, or a long text is copied too often
        capacity = min(self.limit, -(-capacity // GROWTH) * GROWTH)
        shape = (*self.keys.shape[:3], capacity, self.keys.shape[4])
        # Both are had before either is taken, as whoever writes believes that they are alike. On a CPU, what is not
        # yet written to takes no memory, so there are still never two of both.
        keys, values = (in_large_pages(shape, self.keys.dtype, self.keys.device) for _ in range(2))
        self.keys = self._moved(self.keys, keys)
        self.values = self._moved(self.values, values)

    def _moved(self, slab: Tensor, bigger: Tensor) -> Tensor:
        bigger[:, :, :, : self.length] = slab[:, :, :, : self.length]
        return bigger

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store k, v (1, kv_heads, time, d_head) after the filled part; return everything up to and including them.

        The filled part only moves on with `advance`, once all layers have written.
        """
        end = self.length + k.shape[2]
        self.keys[layer, :, :, self.length : end] = k
        self.values[layer, :, :, self.length : end] = v
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def begin_pass(self, time: int) -> None:
        """Make room for `time` positions more, and settle with which rope their keys are written.

        Raises:
            ValueError: more than the context length, or the keys already here have another rope than a text of this
                length, so they have to be computed anew.
        """
        end = self.length + time
        self.reserve(end)
        long = self._config.uses_long_rope(max(end, self.text_length))
        if self.length and long != self.long:
            raise ValueError(f"{self.length} positions were read as a {'long' if self.long else 'short'} text")
        self.long = long

    def advance(self, time: int) -> None:
        """Count the `time` positions just written as filled."""
        self.length += time

    def rewind(self, length: int) -> None:
        """Forget every position from `length` on.

        Raises:
            ValueError: `length` is negative or more than what is filled.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot rewind to {length}: {self.length} positions are filled")
        self.length, self.text_length = length, 0
