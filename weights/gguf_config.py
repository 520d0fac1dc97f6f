"""From a GGUF file's metadata to our `ModelConfig` and tensor names, which are the same for every architecture.

What the metadata says and is not understood is refused: never load and be wrong. Names no architecture; knows no file
and no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from core.config import ModelConfig, Rotary
from core.errors import BadCheckpoint, UnsupportedModel
from weights.family import Layout
from weights.gguf_architectures import ARCHITECTURES, Architecture
from weights.keys import Keys, show

ROPE_FACTORS = "rope_freqs.weight"  # what Llama 3.1 divides its frequencies by

NAMES = {  # ours and llama.cpp's
    "embedding": "token_embd",
    "position_embedding": "position_embd",
    "norm": "output_norm",
    "head": "output",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.output": "attn_output",
    "attention.query_norm": "attn_q_norm",
    "attention.key_norm": "attn_k_norm",
    "attention_norm": "attn_norm",
    "attention_out_norm": "post_attention_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
    "feed_forward_norm": "ffn_norm",
    "feed_forward_out_norm": "post_ffw_norm",
}
_FUSED_ATTENTION = {f"attention.{part}": "attn_qkv" for part in ("query", "key", "value")}
_FUSED_GATE = {"feed_forward.gate": "ffn_up", "feed_forward.up": "ffn_up"}

# Keys that llama.cpp does not compute with, in these architectures.
_HARMLESS = ("vocab_size", "tensor_data_layout", "rope.scaling.finetuned", "expert_used_count")


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the metadata says of the model."""

    layout: Layout
    config: ModelConfig
    interleaved: bool


def describe(
    metadata: Mapping[str, object],
    shapes: Mapping[str, tuple[int, ...]],
    read_factors: Callable[[], tuple[float, ...]],
) -> Description:
    """
    Args:
        shapes: of every tensor in the file; which there are says what a model of this architecture may have or not.
        read_factors: reads the tensor ROPE_FACTORS; called if there is one.

    Raises:
        UnsupportedModel: another architecture, or a key that would change the result and is not understood.
        BadCheckpoint: a key is missing, of the wrong kind, or contradicts another.
    """
    name = Keys(metadata, where="The metadata").word("general.architecture")
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnsupportedModel(f"GGUF files of architecture {show(name)} cannot be run here.", f"Known: {known}.")
    architecture = ARCHITECTURES[name]
    own = {key.removeprefix(f"{name}."): value for key, value in metadata.items() if key.startswith(f"{name}.")}
    keys = Keys({key: _one_for_all(value) for key, value in own.items()}, where=f"The metadata of {name}")
    factors = read_factors() if architecture.has_rope_factors and ROPE_FACTORS in shapes else ()
    try:
        fields = _common(keys, shapes, factors, architecture.norm)
        fields |= architecture.read(keys, ModelConfig(**fields))
        config = ModelConfig(**fields)
    except ValueError as error:
        raise BadCheckpoint(f"The metadata contradicts itself: {error}.", "Download the file again.") from error
    for key in _HARMLESS:
        keys.value(key)
    for key in sorted(keys.unasked()):
        if keys.value(key) not in (0, False, [], ""):
            raise keys.unsupported(key)
    return Description(
        layout=_layout(architecture, shapes, factors), config=config, interleaved=architecture.interleaved
    )


def _one_for_all(value: object) -> object:
    """A list of numbers, one per layer and all of them the same, as that number."""
    if isinstance(value, list) and value and type(value[0]) is int and value.count(value[0]) == len(value):
        return value[0]
    return value


def _layout(architecture: Architecture, shapes: Mapping[str, object], factors: tuple[float, ...]) -> Layout:
    names = dict(NAMES)
    if "blk.0.attn_qkv.weight" in shapes:
        names |= _FUSED_ATTENTION
    if architecture.fused_gate:
        names |= _FUSED_GATE
    ballast = (ROPE_FACTORS,) if factors else ()
    return Layout(names=names, prefix="", layer="blk.{}.", ballast=ballast, described_by="The metadata")


def _common(keys: Keys, shapes: Mapping[str, tuple[int, ...]], factors: tuple[float, ...], norm: str) -> dict[str, Any]:
    """A Llama. What it has or has not is seen from its tensors, as llama.cpp does."""
    n_layers, heads, width = (keys.count(key) for key in ("block_count", "attention.head_count", "embedding_length"))
    if n_layers > len(shapes) or "token_embd.weight" not in shapes:
        raise BadCheckpoint(
            f"The metadata tells of {n_layers:,} layers, and the file has {len(shapes):,} tensors.",
            "Download the file again; of a split model, all its files are needed.",
        )
    d_head = keys.count("attention.key_length", width // heads)
    keys.only("attention.value_length", (None, d_head))
    keys.only("attention.causal", (None, True))
    keys.only("attention.scale", (None, d_head**-0.5))
    return {
        "vocab_size": shapes["token_embd.weight"][0],
        "context_length": keys.count("context_length"),
        "n_layers": n_layers,
        "n_heads": heads,
        "n_kv_heads": keys.count("attention.head_count_kv", heads),
        "d_model": width,
        "d_head": d_head,
        "d_ff": keys.count("feed_forward_length"),
        "rotary": _rotary(keys, d_head, factors),
        "norm": norm,
        "norm_eps": keys.number(f"attention.layer_norm_{'rms_' if norm == 'rms' else ''}epsilon"),
        "qkv_bias": "blk.0.attn_q.bias" in shapes or "blk.0.attn_qkv.bias" in shapes,
        "output_bias": "blk.0.attn_output.bias" in shapes,
        "mlp_bias": "blk.0.ffn_up.bias" in shapes,
        "head_bias": "output.bias" in shapes,
        "tied_embeddings": "output.weight" not in shapes,
    }


def _rotary(keys: Keys, d_head: int, factors: tuple[float, ...]) -> Rotary:
    width = keys.count("rope.dimension_count", d_head)
    keys.only("rope.scaling.attn_factor", (None, 1.0))
    keys.value("rope.scaling.original_context_length")  # only the kinds of scaling refused here compute with it
    is_linear = keys.choice("rope.scaling.type", {"none": False, "linear": True}, "linear")
    by = "rope.scale_linear" if keys.value("rope.scaling.factor") is None else "rope.scaling.factor"
    factor = keys.number(by) if is_linear and keys.value(by) not in (None, 0) else 1.0
    return Rotary(
        theta=keys.number("rope.freq_base", 10_000.0),
        width=None if width == d_head else width,
        scaling="none" if factor == 1.0 else "linear",
        factor=factor,
        factors=factors,
    )
