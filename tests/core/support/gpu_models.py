"""Small models as a GPU holds and decodes them. Knows no test."""

from __future__ import annotations

from typing import Any

import torch

from core.quantization.layers import install
from core.quantization.packed import in_rows
from core.quantization.packing import quantize
from core.transformer import Transformer
from tests.core.support.transformers import CONFIGS

FIXED = {name: config for name, config in CONFIGS.items() if not config.expert_layers}


def quantized_model(transformer: Transformer, kind: Any) -> Transformer:
    """With matrices as they are held on a GPU."""
    matrices = {name: in_rows(quantize(one, kind)) for name, one in transformer.named_parameters() if one.dim() == 2}
    if transformer.config.tied_embeddings:
        matrices["head.weight"] = matrices["embedding.weight"]
    install(transformer, matrices, torch.float32)
    return transformer
