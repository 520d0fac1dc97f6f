"""The loss of all stages as a picture, from their logs: `python -m weights.recipe.plot`. Knows nothing of training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from weights.recipe.export import TARGETS
from weights.recipe.prepare import RUNS

STAGES = ("language", "chat")
POINTS = 150  # of a curve; more is not seen and makes the file large


def curve(log: Path) -> tuple[list[float], list[float], list[tuple[float, float]]]:
    """Millions of tokens, the loss there, and (millions of tokens, held-out loss) where that was measured."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    held = [(line["tokens"] / 1e6, line["held_out"]) for line in lines if "held_out" in line]
    lines = lines[:: max(1, len(lines) // POINTS)]
    return [line["tokens"] / 1e6 for line in lines], [line["loss"] for line in lines], held


def draw(folder: Path, target: Path) -> None:
    """One panel for each stage that has a log."""
    logs = [folder / f"{stage}.log" for stage in STAGES if (folder / f"{stage}.log").exists()]
    mpl.rcParams["svg.hashsalt"] = "logitscope"  # the same picture from the same logs, to the byte
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(logs), squeeze=False)[0]
    for panel, log in zip(panels, logs, strict=True):
        tokens, losses, held = curve(log)
        panel.plot(tokens, losses, linewidth=1, label="training")
        panel.plot(*zip(*held, strict=True), "o-", markersize=3, linewidth=1, label="held out")
        panel.set(title=f"{log.stem} stage", xlabel="million tokens read", ylabel="loss (nats per token)")
        panel.grid(alpha=0.3)
        panel.legend()
    figure.savefig(target, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=list(TARGETS), default="chat")
    parser.add_argument("--runs", type=Path, default=RUNS)
    parser.add_argument("--to", type=Path, help="default: loss.svg in the model's directory")
    asked = parser.parse_args()
    draw(asked.runs / asked.model, asked.to or TARGETS[asked.model] / "loss.svg")


if __name__ == "__main__":
    main()
