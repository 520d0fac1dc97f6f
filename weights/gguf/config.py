"""From a GGUF file's metadata to our `ModelConfig` and tensor names, which are the same for every architecture.

What the metadata says and is not understood is refused: never load and be wrong. Names no architecture; knows no file
and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.config import ModelConfig
from core.errors import BadCheckpoint, UnsupportedModel
from weights.gguf.architectures import ARCHITECTURES, Architecture
from weights.gguf.rope import ReadFactors, read_rope, stretched
from weights.layout import Layout
from weights.untrusted.checked_json import CheckedJson, show

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
    "feed_forward.router": "ffn_gate_inp",
    "feed_forward.experts.{}.gate": "ffn_gate_exps",
    "feed_forward.experts.{}.up": "ffn_up_exps",
    "feed_forward.experts.{}.down": "ffn_down_exps",
    "feed_forward_norm": "ffn_norm",
    "feed_forward_out_norm": "post_ffw_norm",
}
_FUSED_ATTENTION = {f"attention.{part}": "attn_qkv" for part in ("query", "key", "value")}
_FUSED_GATE = {"feed_forward.gate": "ffn_up", "feed_forward.up": "ffn_up"}

# Keys that nobody computes with in these architectures: llama.cpp passes over them, and they repeat or describe what is
# known otherwise. A file may tell the epsilon of both kinds of norm; the architecture has one kind.
_HARMLESS = frozenset(
    (
        *("vocab_size", "tensor_data_layout", "rope.scaling.finetuned", "expert_used_count", "pooling_type"),
        *("attention.layer_norm_epsilon", "attention.layer_norm_rms_epsilon", "attention.group_norm_epsilon"),
    )
)
# What a converter of another project calls a key of llama.cpp.
_ALIASES = {  # Ollama's names
    "rope.local.freq_base": "rope.freq_base_swa",
    "rope.global.freq_base": "rope.freq_base",
}
_NEUTRAL_FACTORS = ("embedding_scale", "residual_scale", "logit_scale", "rope.freq_scale", "rope.scale")  # where 1
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class Description:
    """What the metadata says of the model."""

    layout: Layout
    config: ModelConfig
    interleaved: bool


def describe(
    metadata: Mapping[str, object],
    shapes: Shapes,
    read_factors: ReadFactors,
) -> Description:
    """
    Args:
        shapes: of every tensor in the file; which there are says what a model of this architecture may have or not.
        read_factors: reads one of the tensors that `weights.gguf.rope` names; called if it is there.

    Raises:
        UnsupportedModel: another architecture, or a key that would change the result and is not understood.
        BadCheckpoint: a key is missing, of the wrong kind, or contradicts another.
    """
    name = CheckedJson(metadata, where="The metadata").word("general.architecture")
    if name not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UnsupportedModel(f"GGUF files of architecture {show(name)} cannot be run here.", f"Known: {known}.")
    architecture = ARCHITECTURES[name]
    keys = CheckedJson(_own_keys(metadata, name), where=f"The metadata of {name}")
    factors = tuple(tensor for tensor in architecture.rope_factors if tensor in shapes)
    try:
        fields = _common(keys, shapes, architecture)
        fields["rope"] = read_rope(keys, fields["d_head"], factors, read_factors)
        fields["context_length"] = stretched(fields["context_length"], fields["rope"])
        fields |= architecture.read(keys, ModelConfig(**fields))
        config = ModelConfig(**fields)
    except ValueError as error:
        raise BadCheckpoint(f"The metadata contradicts itself: {error}.", "Download the file again.") from error
    for key in sorted(keys.unasked() - _HARMLESS):
        is_neutral_factor = key in _NEUTRAL_FACTORS and keys.value(key) == 1
        if keys.value(key) not in (0, False, [], "") and not is_neutral_factor:
            raise keys.unsupported(key)
    return Description(
        layout=_layout(architecture, shapes, factors), config=config, interleaved=architecture.interleaved
    )


def _own_keys(metadata: Mapping[str, object], name: str) -> dict[str, object]:
    """What the metadata says of the architecture, under llama.cpp's names. Where two names of a key contradict each
    other, the other name stays, and is refused."""
    own = {
        key.removeprefix(f"{name}."): _one_for_all(value)
        for key, value in metadata.items()
        if key.startswith(f"{name}.")
    }
    for alias, key in _ALIASES.items():
        if alias in own and own.setdefault(key, own[alias]) == own[alias]:
            del own[alias]
    return own


def _one_for_all(value: object) -> object:
    """A list of numbers, one per layer and all of them the same, as that number."""
    if isinstance(value, list) and value and type(value[0]) is int and value.count(value[0]) == len(value):
        return value[0]
    return value


def _layout(architecture: Architecture, shapes: Mapping[str, object], factors: tuple[str, ...]) -> Layout:
    names = dict(NAMES)
    if "blk.0.attn_qkv.weight" in shapes:
        names |= _FUSED_ATTENTION
    if architecture.fused_gate:
        names |= _FUSED_GATE
    return Layout(names=names, prefix="", layer="blk.{}.", ignored_suffixes=factors, described_by="The metadata")


def _common(keys: CheckedJson, shapes: Shapes, architecture: Architecture) -> dict[str, Any]:
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
    if not architecture.has_scales:
        keys.only("attention.scale", (None, d_head**-0.5))
    norm = architecture.norm
    return {
        "vocab_size": shapes["token_embd.weight"][0],
        "context_length": keys.count("context_length"),
        "n_layers": n_layers,
        "n_heads": heads,
        "n_kv_heads": keys.count("attention.head_count_kv", heads),
        "d_model": width,
        "d_head": d_head,
        "d_ff": keys.count("feed_forward_length"),
        "norm": norm,
        "norm_eps": keys.number(f"attention.layer_norm_{'rms_' if norm == 'rms' else ''}epsilon"),
        "qkv_bias": "blk.0.attn_q.bias" in shapes or "blk.0.attn_qkv.bias" in shapes,
        "output_bias": "blk.0.attn_output.bias" in shapes,
        "mlp_bias": "blk.0.ffn_up.bias" in shapes,
        "head_bias": "output.bias" in shapes,
        "tied_embeddings": "output.weight" not in shapes,
        **(_norms(shapes) if architecture.has_any_norms else {}),
        **(_experts(keys, shapes, n_layers) if architecture.has_experts else {}),
    }


def _norms(shapes: Shapes) -> dict[str, Any]:
    return {
        "qk_norm": "blk.0.attn_q_norm.weight" in shapes,
        "residual": "pre" if "blk.0.ffn_norm.weight" in shapes else "parallel",
    }


def _experts(keys: CheckedJson, shapes: Shapes, n_layers: int) -> dict[str, Any]:
    """Those of each layer that has a router. The shares of the ones that are used sum to 1, as in llama.cpp."""
    if keys.count("expert_count", 0, least=0) == 0:
        return {}
    keys.only("expert_weights_norm", (None, True))
    keys.only("expert_gating_func", (None, 0, 1))  # softmax
    keys.only("expert_weights_scale", (None, 0.0, 1.0))
    return {
        "expert_layers": frozenset(n for n in range(n_layers) if f"blk.{n}.ffn_gate_inp.weight" in shapes),
        "n_experts": keys.count("expert_count"),
        "n_experts_used": keys.count("expert_used_count"),
        "d_expert": keys.count("expert_feed_forward_length", keys.count("feed_forward_length")),
    }
