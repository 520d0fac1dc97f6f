"""What is recorded of a reply: the prompt being read, one token being chosen, the end. Must not know torch.

These are plain values: they are shown on screen, printed as JSON and sent between processes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from core.settings import Settings

FinishReason = Literal["end", "length", "stop string", "stopped", "context"]
Channel = Literal["thought", "answer"]


class Candidate(NamedTuple):
    """One token that could have come next. A tuple, because there are twenty of them to a token."""

    rank: int  # 1 is the model's favourite, before any setting acts; ties by id
    id: int
    text: str  # for reading; half a character is shown as �
    bytes: bytes  # what it really adds
    logit: float  # the model's own, before penalties and temperature
    raw_probability: float  # softmax of the model's logits at temperature 1 over the whole vocabulary
    probability: float  # chance of being chosen, after the whole chain
    cut_by: str | None = None  # the stage that removed it

    @property
    def kept(self) -> bool:
        return self.cut_by is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One sampler of the chain as it acted this time."""

    name: str
    alive: int  # candidates left after it


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """A whole next-token distribution in a form to look at: the top of it exactly, and the rest summed.

    An engine that is told only the top of it knows neither the rest nor the entropies: they are None.
    """

    candidates: tuple[Candidate, ...]  # the likeliest before and after the chain, likeliest after it first
    rest_count: int | None  # tokens of the vocabulary not among the candidates
    rest_raw_probability: float | None
    rest_probability: float | None
    entropy_bits: float | None  # of the model's own distribution, whole vocabulary, temperature 1
    chain_entropy_bits: float | None  # of what was drawn from, after the chain
    stages: tuple[Stage, ...]
    settings: Settings

    @property
    def choices(self) -> float | None:
        """How many equally likely tokens would be as uncertain as the model: 2 ** entropy; None if it is not known."""
        return None if self.entropy_bits is None else math.exp2(self.entropy_bits)

    @property
    def chain_choices(self) -> float | None:
        return None if self.chain_entropy_bits is None else math.exp2(self.chain_entropy_bits)


class Shown(NamedTuple):
    """Text by the channel it is shown on, the tags around a thought left out; the thought comes first."""

    thought: str = ""
    answer: str = ""
    thinking: bool = False  # the thought is still open after it


@dataclass(frozen=True, kw_only=True, slots=True)
class Token:
    """One token of a reply, as it was chosen."""

    position: int  # in the context, counted from 0
    id: int
    bytes: bytes
    text: str  # what became readable with this token, tags included; all of them joined are the reply
    shown: Shown  # what of the reply can be shown with this token: what may be half a tag waits
    drawn: float  # the uniform number in [0, 1) that chose it
    ends: bool  # an end-of-turn token: the last of its reply
    channel: Channel = "answer"  # "thought": part of what the model thinks before it answers, the tags included
    guessed: bool = False  # it was read before it was chosen, along with an earlier one
    forward_ms: float
    sampling_ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenRecord(Token):
    """One token of a reply and everything that led to it."""

    probability: float  # the model's own, over the whole vocabulary at temperature 1
    logprob: float  # its natural logarithm
    rank: int  # 1 is the model's favourite
    chain_probability: float  # the chance it had after the chain
    prediction: Prediction

    @classmethod
    def of(cls, token: Token, **record: Any) -> TokenRecord:
        """A token with the fields that are only here."""
        return cls(**{name: getattr(token, name) for name in Token.__dataclass_fields__}, **record)

    @property
    def settings(self) -> Settings:
        """The settings it was chosen with."""
        return self.prediction.settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Prefill:
    """The prompt is being read."""

    done: int  # tokens in the cache
    total: int  # tokens of the prompt
    reused: int  # of those, already there from before
    dropped: int  # oldest messages left out because they no longer fit
    thinking: bool = False  # the prompt ends inside a thought, so the reply begins there
    remarks: tuple[str, ...] = ()  # what does not stand in it where it was said, in sentences for the person


@dataclass(frozen=True, kw_only=True, slots=True)
class Finished:
    """The reply is over."""

    reason: FinishReason
    text: str  # tags included
    shown: Shown  # the whole reply
    ids: tuple[int, ...] | None  # the reply's tokens without the end-of-turn; None if the text was cut inside a token
    prompt_tokens: int
    completion_tokens: int
    prefill_seconds: float
    seconds: float  # from the request to here, prefill included
    first_token_seconds: float | None
    seed: int  # the one the dice were keyed with
    thought_tokens: int = 0  # of the completion's
    guesses: int = 0  # tokens that were read before they were chosen
    right_guesses: int = 0  # those that then were chosen

    @property
    def tokens_per_second(self) -> float:
        """Of the decoding alone: the first token comes out of the prefill."""
        spent = self.seconds - (self.first_token_seconds or 0.0)
        return (self.completion_tokens - 1) / spent if self.completion_tokens > 1 and spent > 0 else math.nan
