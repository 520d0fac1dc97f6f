"""The real engine in a real process of its own."""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.conversation import Message
from core.settings import Settings
from core.step import Finished, Prefill, Step
from tui.engine_link import ProcessEngine
from tui.protocol import Answer, Change, Failed, Inspect, Inspected, Load, Ready, Reply, Stop, Told

HELLO = (Message(role="user", text="Hello!"),)
ENDLESS = Settings(seed=1, temperature=1)


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
    end = time.monotonic() + 60
    while time.monotonic() < end:
        engine.unheard.extend(engine.answers())
        while engine.unheard:
            heard.append(engine.unheard.popleft())
            if wanted(heard[-1]):
                return heard
        time.sleep(0.005)
    raise AssertionError(f"never came; the last answers were {heard[-3:]}")


def is_step(answer: Answer) -> bool:
    return isinstance(answer, Told) and isinstance(answer.event, Step)


def is_end(answer: Answer) -> bool:
    return isinstance(answer, Told) and isinstance(answer.event, Finished)


def steps(answers: list[Answer]) -> list[Step]:
    return [a.event for a in answers if isinstance(a, Told) and isinstance(a.event, Step)]


def end(answers: list[Answer]) -> Finished:
    last = answers[-1]
    assert isinstance(last, Told)
    assert isinstance(last.event, Finished)
    return last.event


def test_loads_tells_its_progress_and_answers(engine: Engine) -> None:
    opening = until(engine, lambda a: isinstance(a, Ready))
    assert len(opening) > 2, "no progress was told"
    engine.send(Reply(number=1, conversation=HELLO, settings=Settings(seed=1, max_tokens=8)))
    heard = until(engine, is_end)
    assert isinstance(heard[0], Told)
    assert isinstance(heard[0].event, Prefill)
    assert len(steps(heard)) == 8
    assert end(heard).text == "".join(step.text for step in steps(heard))


def test_a_reply_may_be_asked_for_before_the_model_is_open(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=Settings(seed=1, max_tokens=2)))
    assert end(until(engine, is_end)).completion_tokens == 2


def test_stop_ends_a_reply_and_keeps_its_text(engine: Engine) -> None:
    engine.send(Reply(number=1, conversation=HELLO, settings=ENDLESS))
    heard = until(engine, is_step)
    engine.send(Stop())
    heard += until(engine, is_end)
    assert end(heard).reason == "stopped"
    assert end(heard).text == "".join(step.text for step in steps(heard))


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


def test_close_ends_the_process(engine: Engine) -> None:
    pid = engine.pid
    engine.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
