"""A trained checkpoint becomes a directory in Hugging Face layout: `python -m weights.recipe.export --model chat`.

Knows how the two shipped models are written down, nothing of how they were trained.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from core.config import ModelConfig
from weights.families import read_config
from weights.families.own_format import fields_of
from weights.recipe.models import END_OF_TEXT, MODELS, TURN_END
from weights.recipe.prepare import RUNS

BUNDLED = Path(__file__).parents[1] / "bundled"
TARGETS = {"chat": BUNDLED, "textbook": BUNDLED / "textbook"}
TEMPLATE = """\
{%- for message in messages %}
{{- '<|im_start|>' + message['role'] + '\\n' + (message['content'] | trim) + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""


def llama_config(config: ModelConfig) -> dict[str, Any]:
    """The chat model in the words of transformers' LlamaConfig, so that every other program can open it."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.context_length,
        "num_hidden_layers": config.n_layers,
        "num_attention_heads": config.n_heads,
        "num_key_value_heads": config.n_kv_heads,
        "hidden_size": config.d_model,
        "head_dim": config.d_head,
        "intermediate_size": config.d_ff,
        "hidden_act": config.activation,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope.theta,
        "attention_bias": config.qkv_bias,
        "mlp_bias": config.mlp_bias,
        "tie_word_embeddings": config.tied_embeddings,
    }


def own_config(config: ModelConfig) -> dict[str, Any]:
    """The textbook model, for which no other program has a class, in the fields of our own `ModelConfig`."""
    return {"architectures": ["Transformer"], "model_type": "logitscope", "transformer": fields_of(config)}


def tensors(config: dict[str, Any], weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights in bfloat16 under the names that go with this config."""
    family, ours = read_config(config)
    if ours.tied_embeddings:
        weights = {name: weight for name, weight in weights.items() if name != "head.weight"}
    shapes = {name: tuple(weight.shape) for name, weight in weights.items()}
    names = {name: family.locate(name, shapes, ours).pieces[0].name for name in weights}
    return {names[name]: weight.to(torch.bfloat16).contiguous() for name, weight in weights.items()}


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def export(name: str, stage: str, runs: Path, target: Path) -> None:
    model = MODELS[name]
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(runs / name / "tokenizer.json", target / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(target / "tokenizer.json"))
    chats = tokenizer.token_to_id(TURN_END) is not None
    ends = [tokenizer.token_to_id(mark) for mark in (TURN_END, END_OF_TEXT) if tokenizer.token_to_id(mark) is not None]
    config = llama_config(model) if chats else own_config(model)
    config |= {"bos_token_id": None, "eos_token_id": ends, "dtype": "bfloat16"}
    write_json(target / "config.json", config)
    write_json(target / "generation_config.json", {"eos_token_id": ends, "pad_token_id": ends[-1]})
    write_json(
        target / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": model.context_length,
            "eos_token": TURN_END if chats else END_OF_TEXT,
            "pad_token": END_OF_TEXT,
            "clean_up_tokenization_spaces": False,
        },
    )
    if chats:
        (target / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")
    weights = torch.load(runs / name / f"{stage}.pt", weights_only=True)["model"]
    save_file(tensors(config, weights), target / "model.safetensors", metadata={"format": "pt"})
    (target / "model.safetensors").chmod(0o644)  # save_file leaves it to its owner alone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(MODELS), default="chat")
    parser.add_argument("--stage", choices=["language", "chat"], help="default: the model's last one")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--to", type=Path)
    asked = parser.parse_args()
    stage = asked.stage or ("chat" if asked.model == "chat" else "language")
    export(asked.model, stage, asked.runs, asked.to or TARGETS[asked.model])


if __name__ == "__main__":
    main()
