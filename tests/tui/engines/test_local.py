"""The real engine in a real process of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.config import ModelConfig
from core.conversation import Message
from core.native.bindings import library
from core.records import Finished, Prefill, Token, TokenRecord
from core.settings import Settings
from core.transformer import Transformer
from tests.support.tiny import tiny_backend, tiny_tokenizer
from tui.engines.local import ProcessEngine
from tui.engines.protocol import (
    Answer,
    Cancel,
    Capabilities,
    Change,
    Failed,
    Inspect,
    Inspected,
    Load,
    Loading,
    Ready,
    Reply,
    Stop,
    Told,
)
from weights.families.own_format import fields_of

HELLO = (Message(role="user", text="Hello!"),)
ENDLESS = Settings(seed=1, temperature=1)
PATIENCE = 600  # seconds; only a test that fails waits so long


class Engine(ProcessEngine):
    """One that remembers what it has said and nobody has asked for yet."""

    def __init__(self, load: Load, log: Path) -> None:
        self.unheard: deque[Answer] = deque()
        super().__init__(load, log)


@pytest.fixture
def engine(checkpoint: Path, tmp_path: Path) -> Iterator[Engine]:
    link = Engine(Load(model=str(checkpoint), device="cpu"), tmp_path / "log")
    yield link
    link.close()


def until(engine: Engine, wanted: Callable[[Answer], bool]) -> list[Answer]:
    """Everything it says up to and including the first answer that is wanted."""
    heard: list[Answer] = []
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        engine.unheard.extend(engine.answers())
        while engine.unheard:
            heard.append(engine.unheard.popleft())
            if wanted(heard[-1]):
                return heard
        time.sleep(0.005)
    raise AssertionError(f"never came; the last answers were {heard[-3:]}")


def is_step(answer: Answer) -> bool:
    return isinstance(answer, Told) and isinstance(answer.event, TokenRecord)


def is_end(answer: Answer) -> bool:
    return isinstance(answer, Told) and isinstance(answer.event, Finished)


def steps(answers: list[Answer]) -> list[TokenRecord]:
    return [token for token in tokens(answers) if isinstance(token, TokenRecord)]


def tokens(answers: list[Answer]) -> list[Token]:
    return [a.event for a in answers if isinstance(a, Told) and isinstance(a.event, Token)]


def end(answers: list[Answer]) -> Finished:
    last = answers[-1]
    assert isinstance(last, Told)
    assert isinstance(last.event, Finished)
    return last.event


def test_compiling_for_a_processor_is_refused_and_nothing_dies(checkpoint: Path, tmp_path: Path) -> None:
    link = Engine(Load(model=str(checkpoint), device="cpu", compiled=True), tmp_path / "log")
    refused = until(link, lambda answer: isinstance(answer, Failed | Ready))[-1]
    assert isinstance(refused, Failed)
    assert "nothing to compile for cpu" in refused.message
    assert not refused.dead
    link.close()


def test_loads_tells_its_progress_and_answers(engine: Engine) -> None:
    opening = until(engine, lambda a: isinstance(a, Ready))
    assert len(opening) > 2, "no progress was told"
    engine.send(Reply(number=1, conversation=HELLO, settings=Settings(seed=1, max_tokens=8)))
    heard = until(engine, is_end)
    assert isinstance(heard[0], Told)
    assert isinstance(heard[0].event, Prefill)
    assert len(tokens(heard)) == 8
    assert end(heard).text == "".join(token.text for token in tokens(heard))


def test_a_reply_may_be_asked_for_before_the_model_is_open(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=Settings(seed=1, max_tokens=2)))
    assert end(until(engine, is_end)).completion_tokens == 2


def test_stop_ends_a_reply_and_keeps_its_text(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=ENDLESS))
    heard = until(engine, is_step)
    engine.send(Stop())
    heard += until(engine, is_end)
    assert end(heard).reason == "stopped"
    assert end(heard).text == "".join(token.text for token in tokens(heard))


def test_every_token_is_told_in_order_and_of_the_last_one_everything(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=ENDLESS))
    heard = until(engine, is_step)
    while len(tokens(heard)) < 40:
        heard += until(engine, is_step)
    engine.send(Stop())
    heard += until(engine, is_end)
    positions = [token.position for token in tokens(heard)]
    assert positions == list(range(positions[0], positions[0] + len(positions)))
    assert isinstance(tokens(heard)[-1], TokenRecord)
    assert end(heard).ids == tuple(token.id for token in tokens(heard))


def test_a_stop_does_not_reach_the_next_reply(engine: Engine) -> None:
    few = Settings(seed=1, max_tokens=3)
    engine.send(Reply(number=1, conversation=HELLO, settings=few))
    engine.send(Stop())
    engine.send(Reply(number=2, conversation=HELLO, settings=few))
    heard = until(engine, lambda a: is_end(a) and isinstance(a, Told) and a.number == 2)
    assert end(heard).reason == "length"


def test_changed_settings_act_in_the_middle_of_a_reply(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=ENDLESS))
    until(engine, is_step)
    engine.send(Change(Settings(seed=1, temperature=0)))
    until(engine, lambda a: is_step(a) and steps([a])[0].settings.temperature == 0)
    engine.send(Stop())
    until(engine, is_end)


def test_inspect_shows_the_same_dice_under_other_settings(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=Settings(max_tokens=3)))
    last = steps(until(engine, is_end))[-1]
    engine.send(Inspect(position=last.position, settings=last.settings))
    same = until(engine, lambda a: isinstance(a, Inspected))[-1]
    assert isinstance(same, Inspected)
    assert (same.chosen, same.drawn, same.prediction) == (last.id, last.drawn, last.prediction)
    engine.send(Inspect(position=last.position, settings=Settings(temperature=0)))
    cold = until(engine, lambda a: isinstance(a, Inspected))[-1]
    assert isinstance(cold, Inspected)
    assert cold.drawn == last.drawn
    assert cold.prediction.candidates[0].probability == 1


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_a_killed_engine_is_told_and_starts_again(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=ENDLESS))
    until(engine, is_step)
    os.kill(engine.pid, signal.SIGKILL)
    failure = until(engine, lambda a: isinstance(a, Failed))[-1]
    assert isinstance(failure, Failed)
    assert failure.dead
    assert "SIGKILL" in failure.message
    engine.send(Reply(number=2, conversation=HELLO, settings=Settings(seed=1, max_tokens=2)))
    assert end(until(engine, is_end)).completion_tokens == 2


def test_a_model_that_cannot_be_opened_is_told_and_the_engine_lives(engine: Engine, checkpoint: Path) -> None:
    until(engine, lambda a: isinstance(a, Ready))
    engine.send(Load(model=str(checkpoint / "nothing")))
    failure = until(engine, lambda a: isinstance(a, Failed))[-1]
    assert isinstance(failure, Failed)
    assert "nothing" in failure.message
    assert not failure.dead
    engine.send(Load(model=str(checkpoint)))
    until(engine, lambda a: isinstance(a, Ready))


# --- another model ----------------------------------------------------------------------------------------------------

FEW = Settings(seed=1, max_tokens=3)


def is_ready(answer: Answer) -> bool:
    return isinstance(answer, Ready)


def loaded(answer: Ready) -> str:
    """Which model was asked for."""
    assert answer.local is not None
    assert answer.capabilities == Capabilities(), "our own engine can do everything"
    return answer.local.load.model


def damaged(checkpoint: Path, folder: Path) -> Load:
    """Its config is fine, and what is wrong comes to light when the weights are looked at."""
    shutil.copytree(checkpoint, folder)
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:5000])
    return Load(model=str(folder), device="cpu")


def large(folder: Path) -> Load:
    """A checkpoint with 128 MB of weights, not counting what is small."""
    tokenizer = tiny_tokenizer()
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, context_length=64, n_layers=4, n_heads=4, n_kv_heads=4,
        d_model=512, d_head=128, d_ff=5248, tied_embeddings=True,
    )  # fmt: skip
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "logitscope", "transformer": fields_of(config)}))
    (folder / "tokenizer.json").write_text(tiny_backend().to_str())
    weights = {name: torch.ones_like(tensor) for name, tensor in Transformer(config).state_dict().items()}
    del weights["head.weight"]
    save_file(weights, folder / "model.safetensors")
    return Load(model=str(folder), device="cpu", dtype="float32")


def test_another_model_answers_and_the_one_before_again(engine: Engine, checkpoint: Path) -> None:
    until(engine, is_ready)
    for name in ("textbook", str(checkpoint)):
        engine.send(Load(model=name, device="cpu"))
        opened = until(engine, is_ready)
        assert len(opened) > 1, "no progress was told"
        assert isinstance(opened[-1], Ready)
        assert loaded(opened[-1]) == name
        engine.send(Reply(number=1, conversation=HELLO, settings=FEW))
        assert end(until(engine, is_end)).completion_tokens == 3


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from /proc")
def test_two_models_are_never_in_memory_together(engine: Engine, tmp_path: Path) -> None:
    until(engine, is_ready)
    peaks = []
    for name in ("a", "b", "a", "b"):
        folder = tmp_path / name
        engine.send(Load(model=str(folder), device="cpu", dtype="float32") if folder.exists() else large(folder))
        until(engine, is_ready)
        status = Path(f"/proc/{engine.pid}/status").read_text()
        peaks.append(int(status.partition("VmHWM:")[2].split()[0]) // 1024)
    size = (tmp_path / "a" / "model.safetensors").stat().st_size // 2**20
    assert size > 120
    assert max(peaks) < peaks[0] + size // 4, f"MB at most, after each model of {size} MB: {peaks}"


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_model_that_cannot_be_opened_leaves_the_one_before(
    engine: Engine, checkpoint: Path, tmp_path: Path, how: str
) -> None:
    until(engine, is_ready)
    wanted = Load(model=str(tmp_path / "x")) if how == "gone" else damaged(checkpoint, tmp_path / "x")
    engine.send(wanted)
    failure = until(engine, lambda a: isinstance(a, Failed))[-1]
    assert isinstance(failure, Failed)
    assert failure.load == wanted
    if how == "damaged":
        back = until(engine, is_ready)[-1]
        assert isinstance(back, Ready)
        assert loaded(back) == str(checkpoint)
    engine.send(Reply(number=1, conversation=HELLO, settings=FEW))
    assert end(until(engine, is_end)).completion_tokens == 3


def test_opening_can_be_cancelled(engine: Engine, checkpoint: Path, tmp_path: Path) -> None:
    until(engine, is_ready)
    engine.send(large(tmp_path / "large"))
    engine.send(Cancel())
    engine.send(Reply(number=1, conversation=HELLO, settings=FEW))
    heard = until(engine, is_end)
    opened = [loaded(answer) for answer in heard if isinstance(answer, Ready)]
    assert opened == [str(checkpoint)]
    assert not [answer for answer in heard if isinstance(answer, Failed)]


def test_of_two_models_asked_for_in_a_row_only_the_last_is_opened(engine: Engine, tmp_path: Path) -> None:
    engine.send(large(tmp_path / "large"))  # while the first is still being opened
    engine.send(Load(model="textbook", device="cpu"))
    engine.send(Reply(number=1, conversation=HELLO, settings=FEW))
    opened = [loaded(answer) for answer in until(engine, is_end) if isinstance(answer, Ready)]
    assert opened[-1] == "textbook"
    assert str(tmp_path / "large") not in opened


@pytest.mark.skipif(library() is None, reason="guesses are for the C library, which is not built")
def test_a_draft_stays_with_the_models_it_fits(engine: Engine, checkpoint: Path) -> None:
    """The same answer with it; a model of another vocabulary is opened without, and the one before again with it."""
    engine.send(Load(model=str(checkpoint), device="cpu", dtype="float32"))
    settings = Settings(seed=1, temperature=0.5, max_tokens=60)
    engine.send(Reply(number=1, conversation=HELLO, settings=settings))
    alone = end(until(engine, is_end))
    for name, draft, why in (
        (str(checkpoint), "tiny0 in int8", ""),
        ("textbook", "", "Without a draft: tiny0 cannot draft for textbook: token 1 is "),
        (str(checkpoint), "tiny0 in int8", ""),
    ):
        wanted = str(checkpoint)
        engine.send(Load(model=name, device="cpu", dtype="float32", draft=wanted, draft_needed=False))
        ready = until(engine, is_ready)[-1]
        assert isinstance(ready, Ready)
        assert ready.local is not None
        assert (ready.local.draft, ready.local.draft_fallback_reason[: len(why)]) == (draft, why)
        engine.send(Reply(number=1, conversation=HELLO, settings=settings))
        said = end(until(engine, is_end))
        assert name == "textbook" or said.ids == alone.ids


def test_a_draft_that_is_needed_and_does_not_fit_leaves_the_model_before(engine: Engine, checkpoint: Path) -> None:
    until(engine, is_ready)
    wanted = Load(model=str(checkpoint), device="cpu", draft="textbook")
    engine.send(wanted)
    failure = until(engine, lambda a: isinstance(a, Failed))[-1]
    assert isinstance(failure, Failed)
    assert failure.load == wanted
    assert "textbook cannot draft for tiny0: token 1 is " in failure.message
    assert isinstance(until(engine, is_ready)[-1], Ready)


def test_opening_can_be_cancelled_while_the_draft_is_read(engine: Engine, checkpoint: Path, tmp_path: Path) -> None:
    until(engine, is_ready)
    engine.send(replace(large(tmp_path / "large"), draft="int4"))
    until(engine, lambda a: isinstance(a, Loading) and a.what == "large in int4")
    engine.send(Cancel())
    back = until(engine, is_ready)[-1]
    assert isinstance(back, Ready)
    assert loaded(back) == str(checkpoint)


@pytest.mark.skipif(os.name != "posix", reason="kills with a signal")
def test_an_engine_that_dies_while_it_opens_a_model_comes_back_with_the_one_before(
    engine: Engine, checkpoint: Path, tmp_path: Path
) -> None:
    until(engine, is_ready)
    engine.send(large(tmp_path / "large"))
    until(engine, lambda a: isinstance(a, Loading))
    os.kill(engine.pid, signal.SIGKILL)
    until(engine, lambda a: isinstance(a, Failed) and a.dead)
    engine.send(Reply(number=1, conversation=HELLO, settings=FEW))
    opened = [loaded(answer) for answer in until(engine, is_end) if isinstance(answer, Ready)]
    assert opened == [str(checkpoint)]


def test_close_ends_the_process(engine: Engine) -> None:
    pid = engine.pid
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
