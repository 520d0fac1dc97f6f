"""The two shipped models: their shapes, and how each stage of training is run. Knows no data and no file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.config import ModelConfig

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
Stage = Literal["language", "chat"]

CHAT = ModelConfig(
    vocab_size=4096,
    context_length=1024,
    n_layers=6,
    n_heads=6,
    n_kv_heads=2,
    d_model=384,
    d_head=64,
    d_ff=1024,
)
TEXTBOOK = ModelConfig(
    vocab_size=2048,
    context_length=256,
    n_layers=3,
    n_heads=4,
    n_kv_heads=4,
    d_model=64,
    d_head=16,
    d_ff=128,
    positions="sinusoidal",
    embedding_scale=8.0,  # the square root of d_model, as in "Attention Is All You Need"
    norm="layer",
    residual="post",
    qkv_bias=True,
    output_bias=True,
    activation="relu",
    gated=False,
    mlp_bias=True,
    tied_embeddings=False,
    head_bias=True,
)
UNITS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight"),
    *("nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen"),
)


def filled_in(text: str) -> str:
    """Hand-written text about the chat model, with its real sizes for {layers}, {heads}, {parameters} and so on."""
    per_layer = CHAT.d_model * (CHAT.d_head * 2 * (CHAT.n_heads + CHAT.n_kv_heads) + 3 * CHAT.d_ff)
    millions = round((CHAT.vocab_size * CHAT.d_model + CHAT.n_layers * per_layer) / 1e6)
    sizes = {
        "layers": UNITS[CHAT.n_layers],
        "heads": UNITS[CHAT.n_heads],
        "kv_heads": UNITS[CHAT.n_kv_heads],
        "parameters": f"{UNITS[millions]} million",
        "context": str(CHAT.context_length),
        "vocabulary": str(CHAT.vocab_size),
        "width": str(CHAT.d_model),
    }
    for name, size in sizes.items():
        text = text.replace(f"{{{name}}}", size)
    return text


MODELS = {"chat": CHAT, "textbook": TEXTBOOK}
SPECIALS = {"chat": (END_OF_TEXT, TURN_START, TURN_END), "textbook": (END_OF_TEXT,)}


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How one stage is trained. `batch` counts rows of `length` tokens; `peak` is the largest learning rate."""

    batch: int
    length: int
    peak: float
    warmup: float = 0.03  # share of the tokens
    weight_decay: float = 0.1
    clip: float = 1.0


PLANS: dict[tuple[str, str], Plan] = {
    ("chat", "language"): Plan(batch=8, length=512, peak=2.5e-3),
    ("chat", "chat"): Plan(batch=4, length=1024, peak=1.5e-3),
    ("textbook", "language"): Plan(batch=16, length=256, peak=3e-3),
}

# How often each source is seen per pass; 0.5 means half of it is drawn, anew for each pass.
SHARES: dict[tuple[str, str], dict[str, float]] = {
    ("chat", "language"): {
        "tinystories": 1,
        "pd_childrens_books": 1,
        "synthetic_persona_chat": 1,
        "self_dialogue": 1,
        "self_dialogue_wide": 1,
        "topical_chat": 1,
        "topical_chat_wide": 1,
        "taskmaster4_coffee": 0.3,
        "apache_small_instruct": 1,
        "chatterbot_english": 1,
    },
    ("chat", "chat"): {
        "own": 1,
        "synthetic_persona_chat": 1,
        "self_dialogue": 0.5,
        "topical_chat": 0.3,
        "taskmaster4_coffee": 0.1,
        "apache_small_instruct": 1,
        "chatterbot_english": 1,
        "personality_chat": 2,
    },
    ("textbook", "language"): {"tinystories": 1},
}
