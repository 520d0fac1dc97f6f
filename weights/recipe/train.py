"""Train one stage of one model: `python -m weights.recipe.train --model chat --stage language --tokens 12`.

Resumes from its last checkpoint when started again. Trains `core.transformer.Transformer` itself; knows no source.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.backends import device
from core.transformer import Transformer
from weights.recipe.corpus import dataset
from weights.recipe.models import MODELS, PLANS, SHARES, Plan
from weights.recipe.prepare import RUNS

SEED = 20
SAVE_EVERY = 180.0  # seconds
SIZES = 512  # the number of tokens learnt in a batch is a multiple of this
IGNORED = -100  # a target that costs nothing
Batch = tuple[Tensor, Tensor, Tensor]  # tokens, targets: (batch, time) ids; learn: (batch, time) bool


def initialise(model: Transformer) -> None:
    """Small random matrices, so that every layer starts by passing on about as much as it was given."""
    torch.manual_seed(SEED)
    d_model, n_layers = model.config.d_model, model.config.n_layers
    for name, weight in model.named_parameters():
        if weight.dim() < 2:
            if name.endswith("bias"):
                nn.init.zeros_(weight)
            continue
        std = weight.shape[1] ** -0.5
        if name == "embedding.weight":
            std = 0.02 if model.config.embedding_scale == 1.0 else d_model**-0.5
        elif model.config.residual == "pre" and (".output." in name or ".down." in name):
            std /= math.sqrt(2 * n_layers)  # what the layers add to the residual stream must not pile up
        nn.init.normal_(weight, std=std)


def optimisers(model: Transformer, plan: Plan) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the layers, AdamW for everything else: the embedding, norms and biases.

    Both get the same learning rate: Muon's steps are scaled to the usual size of AdamW's (Liu et al. 2025).
    """
    layers = [weight for weight in model.blocks.parameters() if weight.dim() == 2]
    known = {id(weight) for weight in layers}
    rest = [weight for weight in model.parameters() if id(weight) not in known]
    return [
        torch.optim.Muon(layers, lr=plan.peak, weight_decay=plan.weight_decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=plan.peak, weight_decay=0.0, betas=(0.9, 0.97), fused=True),
    ]


def learning_rate(done: float, plan: Plan) -> float:
    """Up in a straight line, then down along half a cosine to a twentieth; `done` is the share of the tokens."""
    if done < plan.warmup:
        return plan.peak * done / plan.warmup
    falling = 0.5 * (1 + math.cos(math.pi * (done - plan.warmup) / (1 - plan.warmup)))
    return plan.peak * (0.05 + 0.95 * falling)


def batches(pieces: list[dataset.Piece], shares: dict[str, float], plan: Plan, whole: bool) -> Iterator[Batch]:
    """Endless: pass after pass over the documents, each in its own order, the same for the same seed."""
    turn = 0
    while True:
        dice = random.Random(SEED + turn)
        rows = list(dataset.rows(dataset.drawn(pieces, shares, dice), plan.length, whole))
        dice.shuffle(rows)
        for start in range(0, len(rows) - plan.batch + 1, plan.batch):
            yield batch_of(rows[start : start + plan.batch])
        turn += 1


def batch_of(rows: list[tuple[np.ndarray, np.ndarray]]) -> Batch:
    """Each token is to be guessed from those before it: targets are the tokens one place further on."""
    ids = torch.from_numpy(np.stack([ids for ids, _ in rows]).astype(np.int64))
    learn = torch.from_numpy(np.stack([learn for _, learn in rows]))
    return ids[:, :-1], ids[:, 1:], learn[:, 1:]


def loss_of(model: Transformer, forward: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
    """Cross-entropy in nats: minus the logarithm of the probability given to the token that really came."""
    tokens, targets, learn = (part.to(model.embedding.weight.device) for part in batch)
    places = learn.flatten().nonzero()[:, 0]
    # Filled up to one of few sizes: for every size it meets, the matrix library keeps memory that it never gives back.
    filling = -len(places) % SIZES
    hidden = forward(tokens).flatten(0, 1)[F.pad(places, (0, filling))]  # (learnt and filling, d_model)
    return F.cross_entropy(model.unembed(hidden), F.pad(targets.flatten()[places], (0, filling), value=IGNORED))


class Run:
    """One stage on its way: the model, the optimisers' memory, how far it is, and where all that is kept."""

    def __init__(self, name: str, stage: str, budget: int, runs: Path, compiled: bool, where: str = "auto") -> None:
        self.name, self.stage, self.budget = name, stage, budget
        self.folder, self.plan = runs / name, PLANS[name, stage]
        self.path = self.folder / f"{stage}.pt"
        self.device, self.format = device.choose(where)
        self.model = Transformer(MODELS[name]).to(self.device)
        self.optimisers = optimisers(self.model, self.plan)
        self.steps = self.tokens = 0
        self.seconds = 0.0
        self.begin()
        self.forward: Callable[[Tensor], Tensor] = torch.compile(self.model) if compiled else self.model

    def begin(self) -> None:
        """Where this stage was left, else where the stage before it ended, else at random."""
        before = self.folder / "language.pt"
        if self.path.exists():
            state = torch.load(self.path, weights_only=True, map_location=self.device)
            self.model.load_state_dict(state["model"])
            for optimiser, memory in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(memory)
            self.steps, self.tokens, self.seconds = state["steps"], state["tokens"], state["seconds"]
        elif self.stage == "chat" and before.exists():
            self.model.load_state_dict(torch.load(before, weights_only=True, map_location=self.device)["model"])
        else:
            initialise(self.model)

    def save(self) -> None:
        state = {
            "model": self.model.state_dict(),
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "steps": self.steps,
            "tokens": self.tokens,
            "seconds": self.seconds,
        }
        torch.save(state, self.path.with_suffix(".new"))
        self.path.with_suffix(".new").replace(self.path)  # never half a checkpoint

    def loss(self, batch: Batch) -> Tensor:
        """The products in bfloat16 where the hardware is made for it; the weights stay in float32."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.format == torch.bfloat16):
            return loss_of(self.model, self.forward, batch)

    def step(self, batch: Batch) -> float:
        """Backpropagation: the loss, its slope for every weight, and one small step downhill."""
        rate = learning_rate(min(1.0, self.tokens / self.budget), self.plan)
        for group in (group for optimiser in self.optimisers for group in optimiser.param_groups):
            group["lr"] = rate
        loss = self.loss(batch)
        self.model.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.plan.clip)
        for optimiser in self.optimisers:
            optimiser.step()
        self.steps += 1
        self.tokens += batch[0].numel()
        return loss.item()

    @torch.no_grad()
    def held_out_loss(self, held: list[Batch]) -> float:
        losses = [(self.loss(batch).item(), int(batch[2].sum())) for batch in held]
        return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)

    def run(self) -> None:
        """Train until the tokens are used up."""
        if self.tokens >= self.budget:
            print(f"{self.path} has had its {self.tokens:,} tokens; ask for more, or remove it to begin anew.")
            return
        pieces, held_pieces = dataset.split(dataset.load(self.folder / f"{self.stage}.npz"))
        whole = self.stage == "chat"
        held_rows = list(dataset.rows(held_pieces, self.plan.length, whole))
        random.Random(SEED).shuffle(held_rows)
        held = [batch_of(held_rows[start : start + 4]) for start in range(0, min(32, len(held_rows)), 4)]
        stream = batches(pieces, SHARES[self.name, self.stage], self.plan, whole)
        for _ in range(self.steps):
            next(stream)
        recent: list[float] = []
        last = saved = time.monotonic()
        while self.tokens < self.budget:
            recent = [*recent[-49:], self.step(next(stream))]
            now = time.monotonic()
            self.seconds, last = self.seconds + now - last, now
            if now - saved > SAVE_EVERY or self.tokens >= self.budget:
                self.save()
                self.report(sum(recent) / len(recent), self.held_out_loss(held))
                last = saved = time.monotonic()
            elif self.steps % 20 == 0:
                self.report(sum(recent) / len(recent), None)

    def report(self, loss: float, held: float | None) -> None:
        """A line for the person who waits, and one in the log for `plot`."""
        line = {
            "step": self.steps,
            "tokens": self.tokens,
            "of": self.budget,
            "minutes": round(self.seconds / 60, 2),
            "rate": round(self.optimisers[0].param_groups[0]["lr"], 6),
            "tokens_per_second": round(self.tokens / self.seconds),
            "loss": round(loss, 4),
        }
        if held is not None:
            line["held_out"] = round(held, 4)
        with (self.folder / f"{self.stage}.log").open("a") as log:
            print(json.dumps(line), file=log)
        bar = "#" * round(30 * min(1.0, self.tokens / self.budget))
        print(f"[{bar:30}] " + "  ".join(f"{key} {value}" for key, value in line.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(MODELS), default="chat")
    parser.add_argument("--stage", choices=["language", "chat"], default="language")
    parser.add_argument("--tokens", type=float, default=12.0, help="how many millions to read")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--no-compile", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    Run(asked.model, asked.stage, round(asked.tokens * 1e6), asked.runs, not asked.no_compile, asked.device).run()


if __name__ == "__main__":
    main()
