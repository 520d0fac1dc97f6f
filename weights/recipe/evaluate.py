"""What an exported model really does, in numbers: `python -m weights.recipe.evaluate --model chat`.

Held-out loss per source, on documents that training never saw, and whether replies to fixed prompts end by
themselves. Reads the exported directory with `weights.load`, as the program does; knows nothing of training.
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from core.conversation import Message
from core.engine import Engine
from core.model import Model
from core.settings import Settings
from core.step import Finished
from weights.load import load
from weights.recipe import dataset
from weights.recipe.export import TARGETS
from weights.recipe.prepare import WORK

PROMPTS = (
    "Hello!",
    "Hi, how are you today?",
    "Good morning, my friend!",
    "Who are you, and what can you do?",
    "Are you a human being?",
    "Which company built you?",
    "What does a token look like?",
    "Please explain attention to me.",
    "So what is an embedding for?",
    "What happens inside softmax?",
    "I moved the temperature. What does it change?",
    "What does the KV cache keep?",
    "Explain training in one sentence.",
    "What is 6 plus 3?",
    "Tell me the opposite of fast.",
    "What is the color of grass?",
    "Which day comes after Friday?",
    "What is the capital city of Italy?",
    "How many legs does a spider have?",
    "Tell me a little story about a cat.",
    "Do you know a good joke?",
    "I feel a bit sad today.",
    "I went to the beach with my family.",
    "I like to play football with my friends.",
    "What should I cook for dinner?",
    "What is your favorite animal?",
    "What is the weather like in London?",
    "Can you book a flight for me?",
    "Thank you, that was very helpful!",
    "Goodbye, see you tomorrow!",
)
LONGEST = 120  # tokens


def never_seen(folder: Path) -> list[dataset.Piece]:
    """The held-out documents of all stages; the conversations are in two of them, and count once."""
    found: list[dataset.Piece] = []
    for stage in sorted(folder.glob("*.npz")):
        known = {piece.source for piece in found}
        found += [piece for piece in dataset.split(dataset.load(stage))[1] if piece.source not in known]
    return found


@torch.no_grad()
def held_out(model: Model, pieces: list[dataset.Piece], most: int = 120) -> dict[str, tuple[float, float, int]]:
    """For each source: loss in nats a token, bits a byte of what is learnt, and how many tokens were measured."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0, 0])
    taken: dict[str, int] = defaultdict(int)
    for piece in pieces:
        taken[piece.source] += 1
        if taken[piece.source] > most:
            continue
        ids = torch.from_numpy(piece.ids[: model.context_length].astype(np.int64))
        learn = torch.from_numpy(piece.learn[: model.context_length])[1:]
        logits = model.transformer.unembed(model.transformer(ids[None, :-1])[0])  # (time, vocab)
        targets = ids[1:][learn]
        total = sums[piece.source]
        total[0] += F.cross_entropy(logits[learn], targets, reduction="sum").item()
        total[1] += len(targets)
        total[2] += len(model.tokenizer.decode(targets.tolist()).encode())
    return {
        source: (loss / count, loss / math.log(2) / size, int(count)) for source, (loss, count, size) in sums.items()
    }


def reply(engine: Engine, conversation: tuple[Message, ...], temperature: float, seed: int = 1) -> Finished:
    settings = Settings(temperature=temperature, seed=seed, max_tokens=LONGEST)
    return next(part for part in engine.reply(conversation, lambda: settings) if isinstance(part, Finished))


def report(model: Model, pieces: list[dataset.Piece]) -> None:
    print(f"| {'held-out source':24} | loss (nats/token) | perplexity | bits/byte | tokens |")
    print(f"|{'-' * 26}|------------------:|-----------:|----------:|-------:|")
    for source, (loss, bits, count) in sorted(held_out(model, pieces).items()):
        print(f"| {source:24} | {loss:17.3f} | {math.exp(loss):10.1f} | {bits:9.3f} | {count:6} |")
    if model.template is None:
        return
    engine = Engine(model)
    for temperature in (0.0, 0.7):
        replies = [reply(engine, (Message(role="user", text=prompt),), temperature) for prompt in PROMPTS]
        ended = sum(answer.reason == "end" for answer in replies)
        print(f"\ntemperature {temperature}: {ended} of {len(PROMPTS)} replies end by themselves\n")
        for prompt, answer in zip(PROMPTS, replies, strict=True):
            print(f"> {prompt}\n  {answer.text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(TARGETS), default="chat")
    parser.add_argument("--directory", type=Path, help="default: where export wrote it")
    parser.add_argument("--work", type=Path, default=WORK)
    asked = parser.parse_args()
    model = load(asked.directory or TARGETS[asked.model], device="cpu", dtype="float32")
    report(model, never_seen(asked.work / asked.model))


if __name__ == "__main__":
    main()
