"""What fewer bits cost: how far the probabilities of quantised models are from those of the same weights in 16 bits.

    python -m tests.bench.quality [--precisions bf16 int8 int4] [--windows N]

The model that comes along reads real text; the divergence (Kullback-Leibler, in nats a token) is from its weights as
trained, computed in float32, to what a program says, for us once as a prompt is read and once as an answer is written.
Then the arithmetic alone: logits in bf16 beside those of transformers in float64. Must not know how fast anything is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from core.engine import decoder_for
from core.model import Model
from tests.bench import shapes
from weights.load import load
from weights.recipe.export import BUNDLED

WINDOW = 255  # tokens read at once: the oracle's context, less one
OWN = Path(__file__).parents[2] / "weights" / "recipe" / "corpus" / "own"
TEXTS = ("stories.txt", "facts_nature.txt", "facts_world.txt")
KINDS = ("f32", "bf16", "q8_0", "q4_0")
Logits = NDArray[np.floating[Any]]
ModelRunner = Callable[[list[int]], Logits]  # ids of a window -> (time, vocab)


def windows(model: Model, count: int) -> list[list[int]]:
    """From the texts by turns, evenly over their length."""
    found = []
    for name in TEXTS:
        ids = model.tokenizer.encode((OWN / name).read_text(encoding="utf-8"))
        starts = np.linspace(0, len(ids) - WINDOW, -(-count // len(TEXTS)), dtype=int)
        found += [ids[start : start + WINDOW] for start in starts]
    return found[:count]


def opened(folder: Path, dtype: str, precision: str = "none") -> Model:
    options: dict[str, Any] = {} if precision == "none" else {"quantize": precision}
    return load(folder, device="cpu", dtype=dtype, **options)


def reading(model: Model) -> ModelRunner:
    """As a prompt is read."""

    def read(ids: list[int]) -> Logits:
        decoder = decoder_for(model)
        for _ in decoder.prefill(ids):
            pass
        return np.stack([decoder.logits(position) for position in range(len(ids))])

    return read


def writing(model: Model) -> ModelRunner:
    """As an answer is written: a token at a time."""

    def write(ids: list[int]) -> Logits:
        decoder = decoder_for(model)
        return np.stack([decoder.decode_one(token_id) for token_id in ids])

    return write


def llama_cpp(path: Path) -> ModelRunner:
    from tests.weights.support.llama_cpp_oracle import Oracle

    oracle = Oracle(path)
    return lambda ids: oracle.logits(ids).numpy()


def transformers(folder: Path, dtype: torch.dtype) -> ModelRunner:
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    model.eval()

    def read(ids: list[int]) -> Logits:
        with torch.inference_mode():
            found: Logits = model(torch.tensor([ids])).logits[0].double().numpy()
        return found

    return read


def divergences(logits: Logits, right: Logits) -> NDArray[np.float64]:
    """Of every token, in nats."""
    p, q = log_softmax(right.astype(np.float64), -1), log_softmax(logits.astype(np.float64), -1)
    found: NDArray[np.float64] = (np.exp(p) * (p - q)).sum(-1)
    return found


def quantised(asked: argparse.Namespace) -> Iterator[str]:
    model = opened(BUNDLED, "float32")
    texts = windows(model, asked.windows)
    exact = np.concatenate([reading(model)(ids) for ids in texts])
    half = np.concatenate([writing(opened(BUNDLED, "bfloat16"))(ids) for ids in texts])
    yield f"Kullback-Leibler divergence in nats a token, {len(exact):,} tokens: from float32, and from ours in bf16"
    yield ""
    yield "| program | mean | 99 of 100 below | largest | same likeliest token | mean, from bf16 |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, reader in everyone(asked):
        logits = np.concatenate([reader(ids) for ids in texts])
        values = divergences(logits, exact)
        same = float(np.mean(logits.argmax(-1) == exact.argmax(-1)))
        others = f"{np.quantile(values, 0.99):.2e} | {values.max():.2e} | {same:.2%}"
        yield f"| {name} | {values.mean():.2e} | {others} | {divergences(logits, half).mean():.2e} |"


def everyone(asked: argparse.Namespace) -> Iterator[tuple[str, ModelRunner]]:
    for precision in asked.precisions:
        model = opened(BUNDLED, "bfloat16", "none" if precision == "bf16" else precision)
        yield f"ours {precision}, reading", reading(model)
        yield f"ours {precision}, writing", writing(model)
    for kind in KINDS:
        file = shapes.gguf_file(shapes.SHIPPED, asked.cache, kind)
        yield f"llama.cpp {kind}", llama_cpp(file)
        if kind.startswith("q"):  # what rounding the weights costs, without that of the activations
            yield f"weights of {kind}, in float32", reading(opened(file, "float32"))
    yield "transformers bf16", transformers(BUNDLED, torch.bfloat16)


def arithmetic(asked: argparse.Namespace) -> Iterator[str]:
    """Errors of logits, which is where formats with other weights have no place."""
    for name in asked.shapes:
        folder = shapes.directory(name, asked.cache)
        ours = opened(folder, "bfloat16")
        texts = windows(opened(BUNDLED, "float32"), 3) if name == shapes.SHIPPED else [[7 * n % 200 for n in range(99)]]
        exact = transformers(folder, torch.float64)
        wanted = [exact(ids) for ids in texts]
        yield ""
        yield f"Error of logits in bf16 against float64, {name}: root mean square, largest"
        yield ""
        yield "| program | root mean square | largest |"
        yield "| --- | --- | --- |"
        peer = transformers(folder, torch.bfloat16)
        for title, reader in (
            ("ours, reading", reading(ours)),
            ("ours, writing", writing(ours)),
            ("transformers", peer),
        ):
            errors = np.concatenate([reader(ids) - right for ids, right in zip(texts, wanted, strict=True)])
            yield f"| {title} | {np.sqrt(np.mean(errors**2)):.4f} | {np.abs(errors).max():.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precisions", nargs="+", choices=["bf16", "int8", "int4"], default=["bf16"])
    parser.add_argument("--windows", type=int, default=12, help=f"of {WINDOW} tokens")
    parser.add_argument("--shapes", nargs="*", choices=shapes.NAMES, default=[shapes.SHIPPED, "smollm2-135m"])
    parser.add_argument("--cache", type=Path, default=shapes.default_cache())
    asked = parser.parse_args()
    for lines in (quantised(asked), arithmetic(asked)):
        for line in lines:
            print(line, flush=True)


if __name__ == "__main__":
    main()
