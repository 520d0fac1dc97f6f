"""What each name of an activation in a config.json means. Knows no torch."""

from __future__ import annotations

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python_tanh": "gelu_tanh",
}
OLD_ACTIVATIONS = ACTIVATIONS | {"gelu": "gelu_tanh"}  # GPT and the first Gemma say gelu and mean the approximation
