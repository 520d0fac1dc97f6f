"""Which families of models can be read, and which of them a config.json is of.

A family is a value: a function from its config.json to our `ModelConfig`, and a table from our names to its tensors.
What it does to its tensors before storing them (fused, transposed, less one) is undone while reading, so the
transformer need not know. Whatever would change the result and is not understood is refused: never load and be
wrong. Only this package names families, and `gguf.architectures` in llama.cpp's words. Knows no file and no torch.
"""

from __future__ import annotations

from collections.abc import Mapping

from core.config import ModelConfig
from core.errors import BadCheckpoint, UnsupportedModel
from weights.families import experts, gemma, gpt, llama, phi, qwen
from weights.families.own_format import read_own
from weights.layout import Family
from weights.untrusted.checked_json import CheckedJson, show
from weights.untrusted.hints import COPY_AGAIN

FAMILIES: Mapping[str, Family] = {
    **llama.FAMILIES,
    **qwen.FAMILIES,
    **gemma.FAMILIES,
    **phi.FAMILIES,
    **gpt.FAMILIES,
    **experts.FAMILIES,
    "logitscope": Family(architecture="Transformer", read=read_own, prefix="", layer="blocks.{}."),
}

# Keys by which some family changes its arithmetic. In a family that does not read them they would go unnoticed.
_TELLING = frozenset(
    (
        *("alibi", "attention_chunk_size", "attention_multiplier", "attn_logit_softcapping", "clip_qkv"),
        *("embedding_multiplier", "final_logit_softcapping", "kv_lora_rank", "layer_types", "logit_scale"),
        *("logits_scaling", "n_routed_experts", "no_rope_layers", "num_experts", "num_local_experts"),
        *("partial_rotary_factor", "qk_layernorm", "quantization_config", "query_pre_attn_scalar"),
        *("residual_multiplier", "sliding_window", "use_bidirectional_attention", "use_qk_norm"),
    )
)


def read_config(config: Mapping[str, object]) -> tuple[Family, ModelConfig]:
    """The family that a config.json is of, and the transformer it describes.

    Raises:
        UnsupportedModel: another family, or a setting that would change the result and is not understood.
        BadCheckpoint: a key is missing, of the wrong kind, or contradicts another.
    """
    keys = CheckedJson(config)
    kind = keys.word("model_type")
    if kind not in FAMILIES:
        raise UnsupportedModel(f"Models of type {show(kind)} cannot be run here.", f"Known: {', '.join(FAMILIES)}.")
    family = FAMILIES[kind]
    built_as = keys.words("architectures")
    if built_as and family.architecture.lower() not in [name.lower() for name in built_as]:
        raise keys.unsupported("architectures")
    keys = keys.defaulting(family.defaults)
    try:
        transformer = family.read(keys)
    except (ValueError, OverflowError) as error:
        raise BadCheckpoint(f"config.json contradicts itself: {error}.", COPY_AGAIN) from error
    for name in sorted(_TELLING & keys.unasked()):
        if not _is_neutral(keys.value(name)):
            raise keys.unsupported(name)
    return family, transformer


def _is_neutral(value: object) -> bool:
    """Whether it says that nothing is unusual: a factor of 1, none of something, no layer of another kind."""
    if isinstance(value, list) and value and value.count("full_attention") == len(value):
        return True
    return value is not True and value in (None, False, 0, 1, [], {})
