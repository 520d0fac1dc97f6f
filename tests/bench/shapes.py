"""Models with random weights in the shapes of well-known ones, and the model that comes along, made once and kept.

    python -m tests.bench.shapes [NAME ...] [--cache FOLDER]

Speed depends on shapes, not on what was learned, and nothing has to be fetched. Must not know what is measured.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from platformdirs import user_cache_path
from safetensors.torch import save_file
from torch import Tensor

from tests.bench import gguf_files
from tests.support import export_gguf
from weights.recipe.export import BUNDLED

SHIPPED = "shipped"
CONTEXT = 4096
DEVIATION = 0.02  # of the weights, as models are initialised


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Of a Llama or, with biases on queries, keys and values, a Qwen2. Embeddings are tied, heads 64 wide."""

    d_model: int
    n_layers: int
    n_heads: int
    n_kv_heads: int
    d_ff: int
    vocab_size: int
    qkv_bias: bool = False
    theta: float = (
        500_000.0  # Llama 3.2 stretches its positions beside: a table made once, which costs nothing per token
    )

    def config(self) -> dict[str, object]:
        kind, name = ("qwen2", "Qwen2ForCausalLM") if self.qkv_bias else ("llama", "LlamaForCausalLM")
        return {
            "architectures": [name],
            "model_type": kind,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": CONTEXT,
            "num_hidden_layers": self.n_layers,
            "num_attention_heads": self.n_heads,
            "num_key_value_heads": self.n_kv_heads,
            "hidden_size": self.d_model,
            "intermediate_size": self.d_ff,
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "rope_theta": self.theta,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": None,
            "dtype": "bfloat16",
        }

    def shards(self) -> Iterator[dict[str, Tensor]]:
        """Tensors under transformers' names, a layer at a time, always the same ones."""
        generator = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.empty(shape, dtype=torch.bfloat16).normal_(0, DEVIATION, generator=generator)

        def norm() -> Tensor:
            return random(self.d_model) + 1

        heads = {"q": self.n_heads * 64, "k": self.n_kv_heads * 64, "v": self.n_kv_heads * 64}
        yield {"model.embed_tokens.weight": random(self.vocab_size, self.d_model), "model.norm.weight": norm()}
        for number in range(self.n_layers):
            layer = {
                "input_layernorm.weight": norm(),
                "post_attention_layernorm.weight": norm(),
                "self_attn.o_proj.weight": random(self.d_model, self.n_heads * 64),
                "mlp.gate_proj.weight": random(self.d_ff, self.d_model),
                "mlp.up_proj.weight": random(self.d_ff, self.d_model),
                "mlp.down_proj.weight": random(self.d_model, self.d_ff),
            }
            for name, width in heads.items():
                layer[f"self_attn.{name}_proj.weight"] = random(width, self.d_model)
                if self.qkv_bias:
                    layer[f"self_attn.{name}_proj.bias"] = random(width)
            yield {f"model.layers.{number}.{name}": tensor for name, tensor in layer.items()}


SHAPES = {
    "smollm2-135m": Shape(d_model=576, n_layers=30, n_heads=9, n_kv_heads=3, d_ff=1536, vocab_size=49152, theta=1e5),
    "qwen2.5-0.5b": Shape(
        d_model=896, n_layers=24, n_heads=14, n_kv_heads=2, d_ff=4864, vocab_size=151936, qkv_bias=True, theta=1e6
    ),
    "llama-3.2-1b": Shape(d_model=2048, n_layers=16, n_heads=32, n_kv_heads=8, d_ff=8192, vocab_size=128256),
}
NAMES = (SHIPPED, *SHAPES)


def default_cache() -> Path:
    return user_cache_path("logitscope", appauthor=False) / "bench"


def directory(name: str, cache: Path) -> Path:
    """The model as a Hugging Face directory with bf16 weights."""
    if name == SHIPPED:
        return BUNDLED
    folder = cache / name
    if not folder.exists():
        part = cache / f"{name}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        _write(SHAPES[name], part)
        part.rename(folder)  # a folder cut short would be taken for a model
    return folder


def gguf_file(name: str, cache: Path, kind: str) -> Path:
    """The model as a GGUF file of one of `gguf_files.KINDS`, with the same weights."""
    path = cache / f"{name}-{kind}.gguf"
    if path.exists():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    if kind != "bf16":
        gguf_files.quantise(gguf_file(name, cache, "bf16"), path, kind)
    elif name == SHIPPED:
        export_gguf.export(BUNDLED, path, kind)
    else:
        gguf_files.convert(directory(name, cache), path)
    return path


def _write(shape: Shape, folder: Path) -> None:
    from tests.weights.support import tiny  # sets torch to one thread, which only the making of models bears

    (folder / "config.json").write_text(json.dumps(shape.config(), indent=2))
    tiny.write_tokenizer(folder)
    where: dict[str, str] = {}
    for number, tensors in enumerate(shape.shards()):
        file = f"model-{number:05}.safetensors"
        save_file(tensors, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--cache", type=Path, default=default_cache())
    asked = parser.parse_args()
    for name in asked.names or NAMES:
        print(directory(name, asked.cache))
        for kind in gguf_files.KINDS:
            path = gguf_file(name, asked.cache, kind)
            print(f"{path}: {path.stat().st_size / 1e6:.1f} MB ({gguf_files.kinds_in(path)})")


if __name__ == "__main__":
    main()
