"""What choosing and recording cost beside the forward pass, as shares of the speed of decoding alone, in one run.

    python -m tests.bench.recording [MODEL] [RUNS]

Four ways to write the same tokens alternate, so that whatever else the machine does falls on all; read the ratios.
"""

from __future__ import annotations

import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from core.conversation import Message
from core.engine import TOP, Engine, decoder_for
from core.records import Finished, Token
from core.sampling.distribution import Distribution
from core.settings import Settings
from core.text.prompt import prompt_ids
from core.text.tokenizer import Tokenizer
from tests.bench.endless import endless
from tui.engines.outbox import Outbox
from tui.engines.protocol import Answer
from weights.load import load

TOKENS, VOCABULARIES = 200, (4_096, 49_152, 151_936)
ASKED = (Message(role="user", text="Tell me a long story."),)
SETTINGS = {
    "ours": Settings(seed=5, max_tokens=TOKENS),
    "all off": Settings(seed=5, max_tokens=TOKENS, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0),
}


class Numbers:
    """Stands for a tokenizer where there are only numbers."""

    def token_text(self, token_id: int) -> str:
        return f" {token_id}"

    def token_bytes(self, token_id: int) -> bytes:
        return b" %d" % token_id


def alone(engine: Engine, ids: Sequence[int]) -> float:
    """Tokens per second of the forward passes, and nothing else."""
    model = engine.model
    decoder = decoder_for(model)
    for _ in decoder.prefill(ids[:-TOKENS]):
        pass
    start = time.perf_counter()
    for token_id in ids[-TOKENS:-1]:
        decoder.decode_one(token_id)
    return (TOKENS - 1) / (time.perf_counter() - start)


def chosen(engine: Engine, settings: Settings) -> float:
    """Tokens per second when each is chosen, and nothing is recorded."""
    *_, end = engine.tokens(ASKED, lambda: settings)
    return _speed(end)


def recorded(engine: Engine, settings: Settings) -> float:
    """Tokens per second when all that led to it is recorded of every token: `ask --json` but for the printing."""
    *_, end = engine.reply(ASKED, lambda: settings)
    return _speed(end)


def told(engine: Engine, settings: Settings) -> float:
    """Tokens per second when the screen is told: every token, and the record of those it can show."""

    def send(answers: Sequence[Answer]) -> None:
        pickle.dump(answers, nowhere, pickle.HIGHEST_PROTOCOL)
        nowhere.flush()

    end: object = None
    with open("/dev/null", "wb") as nowhere:
        outbox = Outbox(1, send, engine.step)
        for event in engine.tokens(ASKED, lambda: settings):
            outbox.tell(event)
            end = event
    return _speed(end)


def _speed(end: object) -> float:
    if not isinstance(end, Finished) or end.completion_tokens < TOKENS:
        raise SystemExit("the answer was too short to measure: give a directory whose template asks for no end")
    return end.tokens_per_second


def show(model: str, runs: int) -> None:
    """The shares for one model."""
    with tempfile.TemporaryDirectory() as folder:
        engine = Engine(load(endless(model, Path(folder))))
        print(f"{model}: {engine.model.transformer.config.vocab_size:,} tokens, {engine.model.dtype}")
        prompt = prompt_ids(ASKED, engine.model.template, engine.model.tokenizer)
        for name, settings in SETTINGS.items():
            written = [event.id for event in engine.tokens(ASKED, lambda: settings) if isinstance(event, Token)]  # noqa: B023 - used at once
            ways: dict[str, Callable[[], float]] = {
                "forward passes alone": partial(alone, engine, [*prompt, *written]),
                "and choosing": partial(chosen, engine, settings),
                "and telling the screen": partial(told, engine, settings),
                "and recording every token": partial(recorded, engine, settings),
            }
            speeds: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(runs):
                for way, measure in ways.items():
                    speeds[way].append(measure())
            medians = {way: statistics.median(values) for way, values in speeds.items()}
            for way, speed in medians.items():
                to_alone, to_chosen = speed / medians["forward passes alone"], speed / medians["and choosing"]
                print(
                    f"  {name:8} {way:26} {speed:8.1f} tokens/s  {to_alone:6.1%} of alone  {to_chosen:6.1%} of chosen"
                )


def microseconds(do: Callable[[], object], times: int = 200) -> float:
    """The median time of one call."""
    spent = []
    for _ in range(times):
        start = time.perf_counter()
        do()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent) * 1e6


def show_vocabularies() -> None:
    """The time per token without a model, by the size of the vocabulary."""
    for size in VOCABULARIES:
        logits = np.random.default_rng(0).normal(0, 3, size).astype(np.float32)
        for name, settings in SETTINGS.items():
            distribution = Distribution.of(logits, settings, [])

            token_id = distribution.draw(0.5)
            choose = microseconds(partial(_choose, logits, settings))
            record = microseconds(partial(distribution.prediction, cast(Tokenizer, Numbers()), TOP, also=token_id))
            print(f"  {size:8,} {name:8} choose {choose:6.0f} µs, record {record:6.0f} µs")


def _choose(logits: NDArray[np.float32], settings: Settings) -> int:
    return Distribution.of(logits, settings, []).draw(0.5)


if __name__ == "__main__":
    show(sys.argv[1] if len(sys.argv) > 1 else "bundled", int(sys.argv[2]) if len(sys.argv) > 2 else 5)
    show_vocabularies()
