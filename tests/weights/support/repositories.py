"""What a repository on the hub holds: a checkpoint's texts, and noise in place of its weights. Knows no test."""

from __future__ import annotations

import json
import random

CONFIG = {"model_type": "llama", "vocab_size": 300, "hidden_size": 32, "num_attention_heads": 4}
CONFIG |= {"num_hidden_layers": 2, "intermediate_size": 48, "max_position_embeddings": 128}
TEXTS = {"config.json": json.dumps(CONFIG).encode(), "tokenizer.json": b"{}", "tokenizer_config.json": b"{}"}


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)
