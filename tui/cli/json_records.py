"""What the commands print as JSON, as dictionaries. Other programs read these keys; must not know who prints them."""

from __future__ import annotations

import json
from typing import Any

from core.records import Candidate, Finished, Prediction, TokenRecord
from tui.sanitize import whole_characters


def json_line(record: dict[str, Any]) -> str:
    """A record as one line of JSON. What is no character, as in a name of a file, is �: not every reader takes it."""
    return json.dumps(_printable(record), default=str)


def _printable(value: Any) -> Any:
    match value:
        case str():
            return whole_characters(value)
        case dict():
            return {_printable(key): _printable(item) for key, item in value.items()}
        case list() | tuple():
            return [_printable(item) for item in value]
    return value


def token_record(record: TokenRecord) -> dict[str, Any]:
    """A token of a reply, with the distribution it was chosen from."""
    fields = ("id", "text", "probability", "raw_probability", "kept", "cut_by")
    return {
        "position": record.position,
        "thought": record.channel == "thought",
        "guessed": record.guessed,
        "id": record.id,
        "text": record.text,
        "bytes": list(record.bytes),
        "logprob": record.logprob,
        "probability": record.probability,
        "chain_probability": record.chain_probability,
        "rank": record.rank,
        "entropy_bits": record.prediction.entropy_bits,
        "temperature": record.settings.temperature,
        "drawn": record.drawn,
        "candidates": [{name: getattr(c, name) for name in fields} for c in record.prediction.candidates],
        "rest": _rest_record(record.prediction),
    }


def finished_record(end: Finished, *, thoughts: bool = True) -> dict[str, Any]:
    """The last line of a reply.

    Args:
        thoughts: its text begins with what the model thought, tags included.
    """
    rate = end.tokens_per_second
    return {
        "done": True,
        "text": end.text if thoughts else end.shown.answer.lstrip("\n"),
        "finish_reason": end.reason,
        "prompt_tokens": end.prompt_tokens,
        "completion_tokens": end.completion_tokens,
        "thought_tokens": end.thought_tokens,
        "guesses": end.guesses,
        "right_guesses": end.right_guesses,
        "seconds": end.seconds,
        "tokens_per_second": rate if rate == rate else None,  # JSON has no NaN
        "seed": end.seed,
    }


def next_record(model: str, ids: list[int], prediction: Prediction) -> dict[str, Any]:
    """The distribution after a prompt."""
    return {
        "model": model,
        "prompt_ids": ids,
        "temperature": prediction.settings.temperature,
        "entropy_bits": prediction.entropy_bits,
        "chain_entropy_bits": prediction.chain_entropy_bits,
        "candidates": [_candidate_record(c) for c in prediction.candidates],
        "rest": _rest_record(prediction),
    }


def _candidate_record(candidate: Candidate) -> dict[str, Any]:
    finite = candidate.logit > float("-inf")
    return {
        "rank": candidate.rank,
        "id": candidate.id,
        "text": candidate.text,
        "bytes": list(candidate.bytes),
        "logit": candidate.logit if finite else None,  # JSON has no infinity
        "raw_probability": candidate.raw_probability,
        "probability": candidate.probability,
        "kept": candidate.kept,
        "cut_by": candidate.cut_by,
    }


def _rest_record(prediction: Prediction) -> dict[str, Any]:
    return {
        "count": prediction.rest_count,
        "raw_probability": prediction.rest_raw_probability,
        "probability": prediction.rest_probability,
    }
