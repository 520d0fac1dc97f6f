"""The records travel between processes: what comes out is what went in."""

from __future__ import annotations

import copy
import math
import pickle
from dataclasses import replace

import pytest

from core import errors
from core.conversation import Message
from core.errors import LogitscopeError
from core.records import Candidate, Finished, Prediction, Prefill, Shown, Stage, TokenRecord
from core.settings import Settings

CANDIDATE = Candidate(
    rank=3, id=7, text="\ufffd", bytes=b"\xe2\x96", logit=-1.5, raw_probability=0.25, probability=0.0, cut_by="top-p"
)
PREDICTION = Prediction(
    candidates=(CANDIDATE,),
    rest_count=5,
    rest_raw_probability=0.75,
    rest_probability=1.0,
    entropy_bits=2.0,
    chain_entropy_bits=1.0,
    stages=(Stage(name="top-p", alive=2),),
    settings=Settings(temperature=0.3, stop=("END",), seed=2**64 - 1),
)
STEP = TokenRecord(
    position=12,
    id=7,
    bytes=b"\xe2\x96",
    text="",
    shown=Shown(thought="Hm", thinking=True),
    channel="thought",
    probability=0.25,
    logprob=math.log(0.25),
    rank=3,
    chain_probability=0.5,
    drawn=1 - 2**-53,
    ends=False,
    prediction=PREDICTION,
    forward_ms=1.5,
    sampling_ms=0.5,
)


def finished(completion_tokens: int, seconds: float, first: float | None) -> Finished:
    return Finished(
        reason="length",
        text="Hi",
        shown=Shown(answer="Hi"),
        ids=(1, 2),
        prompt_tokens=3,
        completion_tokens=completion_tokens,
        prefill_seconds=0.5,
        seconds=seconds,
        first_token_seconds=first,
        seed=4,
    )


@pytest.mark.parametrize(
    "record",
    [
        CANDIDATE,
        PREDICTION,
        STEP,
        Prefill(done=1, total=2, reused=0, dropped=3),
        finished(2, 1.0, 0.5),
        Settings(),
        Message(role="assistant", text="Hi", ids=(1, 2)),
    ],
    ids=lambda record: type(record).__name__,
)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_record_survives_the_journey(record: object, protocol: int) -> None:
    back = pickle.loads(pickle.dumps(record, protocol))
    assert back == record
    assert type(back) is type(record)
    assert copy.deepcopy(record) == record


ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LogitscopeError)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_survives_the_journey(kind: type[LogitscopeError]) -> None:
    error = kind("No model 'x'.", "Try another.")
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert (back.message, back.hint) == ("No model 'x'.", "Try another.")
    assert str(back) == str(error) == "No model 'x'. Try another."


def test_every_cause_has_a_class_of_its_own() -> None:
    assert len(ERRORS) >= 9
    assert all(issubclass(kind, LogitscopeError) for kind in ERRORS)
    assert str(LogitscopeError("Alone.")) == "Alone."


def test_how_many_choices_an_entropy_stands_for() -> None:
    assert PREDICTION.choices == 4  # 2 bits
    assert PREDICTION.chain_choices == 2
    top_only = replace(PREDICTION, entropy_bits=None, chain_entropy_bits=None)
    assert top_only.choices is top_only.chain_choices is None
    assert STEP.settings is PREDICTION.settings
    assert not CANDIDATE.kept


def test_the_speed_is_that_of_the_tokens_after_the_first() -> None:
    assert finished(completion_tokens=11, seconds=3.0, first=1.0).tokens_per_second == 5  # 10 in 2 seconds
    assert math.isnan(finished(completion_tokens=1, seconds=3.0, first=1.0).tokens_per_second)
    assert math.isnan(finished(completion_tokens=0, seconds=3.0, first=None).tokens_per_second)
