"""What an exported model really does, in numbers: `python -m weights.recipe.evaluate --model chat`.

Prints the tables of the model card. Reads the exported directory with `weights.load`, as the program does; knows
nothing of training.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from core.conversation import Message
from core.engine import Engine
from core.model import Model
from core.records import Finished
from core.settings import Settings
from weights.load import load
from weights.recipe.corpus import dataset
from weights.recipe.evaluation.judging import faults
from weights.recipe.evaluation.ngrams import NGrams
from weights.recipe.evaluation.prompts import Prompt, prompts
from weights.recipe.export import TARGETS
from weights.recipe.prepare import RUNS

LONGEST = 120  # tokens of a reply
SEEDS = (1, 2, 3)
WARM = 0.7
TALKS = Path(__file__).parent / "evaluation" / "talks.txt"


@dataclass(frozen=True)
class Loss:
    """What one source's held-out documents cost, per token that the model is to learn, and per byte of it."""

    nats: float
    bits_per_byte: float
    counted_nats: float  # of the 3-gram model, on the same tokens
    tokens: int


def documents(folder: Path) -> tuple[list[dataset.Piece], list[dataset.Piece]]:
    """Those trained on and those held out, of all stages; the conversations are in two of them, and count once."""
    kept: list[dataset.Piece] = []
    held: list[dataset.Piece] = []
    for stage in sorted(folder.glob("*.npz")):
        known = {piece.source for piece in kept}
        more, more_held = dataset.split(dataset.load(stage))
        kept += [piece for piece in more if piece.source not in known]
        held += [piece for piece in more_held if piece.source not in known]
    return kept, held


@torch.no_grad()
def held_out(model: Model, counted: NGrams, pieces: list[dataset.Piece], most: int = 120) -> dict[str, Loss]:
    """For each source, on at most so many documents."""
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0, 0, 0])
    taken: Counter[str] = Counter()
    for piece in pieces:
        taken[piece.source] += 1
        if taken[piece.source] > most:
            continue
        whole = piece.ids[: model.context_length].astype(np.int64)
        learn = piece.learn[: model.context_length].copy()
        learn[0] = False  # nothing stands before it
        ids = torch.from_numpy(whole)
        logits = model.transformer.unembed(model.transformer(ids[None, :-1])[0])  # (time, vocab)
        targets = ids[torch.from_numpy(learn)]
        total = sums[piece.source]
        total[0] += F.cross_entropy(logits[torch.from_numpy(learn[1:])], targets, reduction="sum").item()
        total[1] -= float(np.log(counted.probabilities(whole)[learn]).sum())
        total[2] += len(targets)
        total[3] += len(model.tokenizer.decode(targets.tolist()).encode())
    return {
        source: Loss(nats / count, nats / math.log(2) / size, counting / count, int(count))
        for source, (nats, counting, count, size) in sums.items()
    }


def talk(engine: Engine, turns: Sequence[str], temperature: float, seed: int) -> list[Finished]:
    """The model's answer to each of the person's turns."""
    conversation: tuple[Message, ...] = ()
    answers: list[Finished] = []
    settings = Settings(temperature=temperature, seed=seed, max_tokens=LONGEST)
    for text in turns:
        conversation += (Message(role="user", text=text),)
        answer = next(part for part in engine.reply(conversation, lambda: settings) if isinstance(part, Finished))
        conversation += (Message(role="assistant", text=answer.text, ids=answer.ids),)
        answers.append(answer)
    return answers


def last_answers(engine: Engine, temperature: float, seed: int) -> list[tuple[Prompt, Finished]]:
    return [(prompt, talk(engine, prompt.turns, temperature, seed)[-1]) for prompt in prompts()]


def losses_table(losses: dict[str, Loss]) -> str:
    head = "| held-out source | tokens | loss (nats/token) | perplexity | 3-gram perplexity | bits/byte |"
    lines = [head, "|---|---:|---:|---:|---:|---:|"]
    for source, loss in sorted(losses.items()):
        lines.append(
            f"| {source} | {loss.tokens:,} | {loss.nats:.3f} | {math.exp(loss.nats):.1f} | "
            f"{math.exp(loss.counted_nats):.1f} | {loss.bits_per_byte:.3f} |"
        )
    return "\n".join(lines)


def prompts_table(cold: list[tuple[Prompt, Finished]], warm: list[list[tuple[Prompt, Finished]]]) -> str:
    """Per group: right answers at temperature 0, and faultless ones at `WARM` over all seeds."""
    lines = [f"| group | right at T 0 | right at T {WARM} | without a fault at T {WARM} |", "|---|---:|---:|---:|"]
    totals = np.zeros(4, dtype=int)
    for group in dict.fromkeys(prompt.group for prompt, _ in cold):
        asked = [pair for pair in cold if pair[0].group == group]
        again = [pair for run in warm for pair in run if pair[0].group == group]
        right = sum(prompt.accepts(answer.text) for prompt, answer in asked)
        warmly = sum(prompt.accepts(answer.text) for prompt, answer in again)
        clean = sum(not faults(answer) for _, answer in again)
        closed = bool(asked[0][0].right)
        lines.append(
            f"| {group} | {f'{right} of {len(asked)}' if closed else ''} | "
            f"{f'{warmly} of {len(again)}' if closed else ''} | {clean} of {len(again)} |"
        )
        if closed and group != "memory":
            totals += (right, len(asked), warmly, len(again))
    right, asked_in_all, warmly, again_in_all = totals.tolist()
    lines.append(
        f"| all closed questions but memory | {right / asked_in_all:.1%} | {warmly / again_in_all:.1%} | |"
        if asked_in_all
        else ""
    )
    found = Counter(fault for run in warm for _, answer in run for fault in faults(answer))
    lines += ["", f"Faults at T {WARM}, of {sum(map(len, warm))} replies: {dict(found) or 'none'}."]
    return "\n".join(lines)


def wrong_answers(cold: list[tuple[Prompt, Finished]]) -> str:
    """Every wrong answer to a closed question at temperature 0, for reading."""
    return "\n".join(
        f"> {prompt.turns[-1]}\n  {answer.text}"
        for prompt, answer in cold
        if prompt.right and not prompt.accepts(answer.text)
    )


def talks(engine: Engine, temperature: float, seed: int) -> str:
    """The conversations of talks.txt."""
    blocks = [block for block in TALKS.read_text(encoding="utf-8").split("\n\n") if not block.startswith("#")]
    found: list[str] = []
    for block in blocks:
        turns = block.strip().splitlines()
        answers = talk(engine, turns, temperature, seed)
        found.append(
            "\n".join(f"    > {asked}\n      {answer.text}" for asked, answer in zip(turns, answers, strict=True))
        )
    return "\n\n".join(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(TARGETS), default="chat")
    parser.add_argument("--directory", type=Path, help="default: where export wrote it")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--talks", action="store_true", help="the conversations of talks.txt, nothing else")
    asked = parser.parse_args()
    model = load(asked.directory or TARGETS[asked.model], device="cpu", dtype="float32")
    engine = Engine(model)
    if asked.talks:
        print(talks(engine, WARM, SEEDS[0]))
        return
    kept, held = documents(asked.runs / asked.model)
    counted = NGrams([piece.ids.astype(np.int64) for piece in kept], model.tokenizer.vocab_size)
    print(losses_table(held_out(model, counted, held)))
    if model.template is not None:
        cold = last_answers(engine, 0.0, SEEDS[0])
        print(f"\n{prompts_table(cold, [last_answers(engine, WARM, seed) for seed in SEEDS])}")
        print(f"\nWrong at temperature 0:\n\n{wrong_answers(cold)}")


if __name__ == "__main__":
    main()
