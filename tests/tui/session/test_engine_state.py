"""What becomes of the engine's state with what is learned of it, and who is told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tui.session.engine_state import EngineState, EngineStateHolder

READY = EngineState(activity="ready", model="m", device="cuda", precision="bfloat16", size=100)


@pytest.fixture
def state() -> EngineStateHolder:
    return EngineStateHolder(READY)


def test_whoever_listens_is_told_of_every_new_state_and_of_none_twice(state: EngineStateHolder) -> None:
    told: list[EngineState] = []
    state.listen(told.append)
    state.loading("weights", 0.5)
    state.loading("weights", 0.5)
    state.compiling(True)
    loading = replace(READY, activity="loading", what="weights", fraction=0.5)
    assert told == [loading, replace(loading, compiling=True)]
    assert state.now is told[-1]


def test_another_model_replaces_what_was_known_of_the_one_before(state: EngineStateHolder) -> None:
    state.loading("weights", 0.5)
    state.opened("other", device="", precision="", in_torch=False, size=0)
    assert state.now == EngineState(activity="ready", model="other", fraction=0.5)
    assert state.now.fullness == 0, "of a context whose size nobody knows"


def test_a_reply_from_the_question_to_its_end(state: EngineStateHolder) -> None:
    state.asked()
    assert (state.now.activity, state.now.total) == ("reading", 0)
    state.reading(5, 10)
    assert (state.now.done, state.now.total, state.now.used) == (5, 10, 5)
    state.writing(used=12, tokens_per_second=None, first_token_seconds=0.5)
    assert (state.now.activity, state.now.used, state.now.fullness) == ("writing", 12, 0.12)
    state.finished(stopped=True, used=14, tokens_per_second=9.5, first_token_seconds=0.5, guesses=4, right_guesses=3)
    assert (state.now.activity, state.now.tokens_per_second, state.now.right_guesses) == ("stopped", 9.5, 3)
    state.forget_reply()
    assert (state.now.activity, state.now.used, state.now.guesses) == ("stopped", 0, 0)
    assert state.now.tokens_per_second is state.now.first_token_seconds is None
    state.forget_reply(ready=True)
    assert state.now.activity == "ready"


@pytest.mark.parametrize(
    ("dead", "lasting", "activity", "what"),
    [(False, False, "ready", ""), (False, True, "failed", ""), (True, True, "failed", "engine stopped")],
)
def test_a_failure(state: EngineStateHolder, dead: bool, lasting: bool, activity: str, what: str) -> None:
    state.loading("weights", 0.5)
    state.compiling(True)
    state.failed(dead=dead, lasting=lasting)
    assert (state.now.activity, state.now.what) == (activity, what)
    assert state.now.compiling is not dead, "a process that is gone compiles nothing"
