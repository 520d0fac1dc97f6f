"""A model that is ready to speak: the transformer, its tokenizer, its template, where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from core.quantization.layers import QuantizedLinear, packed_in
from core.text.chat_template import ChatTemplate
from core.text.tokenizer import Tokenizer
from core.transformer import Transformer


@dataclass(frozen=True, kw_only=True)
class Model:
    """What the engine runs. Made by a reader of files, which the engine knows nothing of."""

    name: str
    transformer: Transformer
    tokenizer: Tokenizer
    template: ChatTemplate | None  # None: it only continues text
    end_ids: frozenset[int]  # tokens that end a turn
    device: torch.device
    dtype: torch.dtype
    sampling: Mapping[str, float] = field(default_factory=dict)  # `Settings` its makers recommend, by name

    @property
    def context_length(self) -> int:
        return self.transformer.config.context_length

    @property
    def n_parameters(self) -> int:
        """Numbers learned, a matrix used twice counted once."""
        plain = sum(parameter.numel() for parameter in self.transformer.parameters())
        return plain + sum(matrix.rows * matrix.columns for matrix in packed_in(self.transformer))

    def bytes_per_token(self, context: int) -> int:
        """What has to be read to decode one token behind so many: every matrix, of the experts those that are used, and
        the keys and values of what is there (as if no layer had a window)."""
        config = self.transformer.config
        total = 2.0 * context * config.n_layers * config.n_kv_heads * config.d_head * self.dtype.itemsize
        for name, layer in self.transformer.named_modules():
            part = config.n_experts_used / config.n_experts if ".experts." in name else 1.0
            if isinstance(layer, QuantizedLinear):
                total += part * layer.packed.n_bytes
            elif isinstance(layer, torch.nn.Linear):
                total += part * layer.weight.nbytes
        return int(total)

    @property
    def precision(self) -> str:
        """The format that most of its weights are held in: "int4", "int8", or that of the arithmetic."""
        n_plain = sum(parameter.numel() for parameter in self.transformer.parameters())
        sizes = {str(self.dtype).removeprefix("torch."): n_plain}
        for matrix in packed_in(self.transformer):
            sizes[matrix.kind] = sizes.get(matrix.kind, 0) + matrix.rows * matrix.columns
        return max(sizes, key=sizes.__getitem__)
