"""A model that is ready to speak: the transformer, its tokenizer, its template, where it ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from core.chat_template import ChatTemplate
from core.tokenizer import Tokenizer
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
        return sum(parameter.numel() for parameter in self.transformer.parameters())
