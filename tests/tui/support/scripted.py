"""An engine that says what a test tells it to, behind the same interface as the real one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from core.records import Candidate, Finished, FinishReason, Prediction, Prefill, Shown, Stage, TokenRecord
from core.settings import Settings
from tui.engines.protocol import (
    Answer,
    Capabilities,
    Change,
    Inspect,
    Inspected,
    Load,
    LocalInfo,
    ModelInfo,
    Ready,
    Reply,
    Request,
    Stop,
    Told,
)

_LOCAL = LocalInfo(load=Load(model="scripted"), device="cpu", precision="float32", fallback_reason=None)
READY = Ready(
    model=ModelInfo(name="scripted", n_parameters=1000, context_length=512, has_template=True),
    local=_LOCAL,
)


def ready(
    *,
    load: Load | None = None,
    precision: str = "float32",
    draft: str = "",
    draft_fallback_reason: str = "",
    capabilities: Capabilities | None = None,
    **model: Any,
) -> Ready:
    """`READY` with something else in it; what is not named here is the model's."""
    local = replace(_LOCAL, precision=precision, draft=draft, draft_fallback_reason=draft_fallback_reason)
    return Ready(
        model=replace(READY.model, **model),
        local=local if load is None else replace(local, load=load),
        capabilities=capabilities or Capabilities(),
    )


def prediction(settings: Settings, *, favourite: str = " the", n: int = 20) -> Prediction:
    """Twenty candidates with probabilities 1/2, 1/4 ...; all but the first five are cut by top-k."""
    shares = [2.0**-k for k in range(1, n + 1)]
    kept = sum(shares[:5])
    candidates = tuple(
        Candidate(
            rank=k + 1,
            id=100 + k,
            text=favourite if k == 0 else f" word{k}",
            bytes=(favourite if k == 0 else f" word{k}").encode(),
            logit=-float(k),
            raw_probability=share,
            probability=share / kept if k < 5 else 0.0,
            cut_by=None if k < 5 else "top-k",
        )
        for k, share in enumerate(shares)
    )
    return Prediction(
        candidates=candidates,
        rest_count=4076,
        rest_raw_probability=1 - sum(shares),
        rest_probability=0.0,
        entropy_bits=2.0,
        chain_entropy_bits=1.8,
        stages=(Stage(name="penalties", alive=4096), Stage(name="top-k", alive=5)),
        settings=settings,
    )


def top_only(settings: Settings) -> Prediction:
    """What an engine tells that knows nothing but the top of the distribution."""
    return replace(
        prediction(settings),
        rest_count=None,
        rest_raw_probability=None,
        rest_probability=None,
        entropy_bits=None,
        chain_entropy_bits=None,
        stages=(),
    )


def record(
    position: int, text: str, settings: Settings | None = None, *, ends: bool = False, shown: Shown | None = None
) -> TokenRecord:
    """A token of an answer, or what else it is shown as."""
    return TokenRecord(
        position=position,
        id=100,
        bytes=text.encode(),
        text=text,
        shown=Shown(answer=text) if shown is None else shown,
        probability=0.5,
        logprob=-0.693147,
        rank=1,
        chain_probability=0.516,
        drawn=0.25,
        ends=ends,
        prediction=prediction(settings or Settings(), favourite=text or "<|im_end|>"),
        forward_ms=1.0,
        sampling_ms=0.1,
    )


def finished(text: str, reason: FinishReason = "end", *, n: int = 3, shown: Shown | None = None) -> Finished:
    return Finished(
        reason=reason,
        text=text,
        shown=Shown(answer=text) if shown is None else shown,
        ids=(100,) * n,
        prompt_tokens=10,
        completion_tokens=n + 1,
        prefill_seconds=0.01,
        seconds=0.5,
        first_token_seconds=0.02,
        seed=7,
    )


@dataclass
class ScriptedEngine:
    """Keeps every request, and gives out what `say` was told; answers an `Inspect` by itself."""

    requests: list[Request] = field(default_factory=list)
    closed: bool = False
    _answers: list[Answer] = field(default_factory=list)

    def send(self, request: Request) -> None:
        self.requests.append(request)
        if isinstance(request, Inspect):
            shape = prediction(request.settings, favourite=" inspected")
            self.say(Inspected(position=request.position, chosen=100, drawn=0.25, prediction=shape))

    def answers(self) -> list[Answer]:
        found, self._answers = self._answers, []
        return found

    def close(self) -> None:
        self.closed = True

    def say(self, *answers: Answer) -> None:
        self._answers += answers

    def tell(self, *events: Prefill | TokenRecord | Finished) -> None:
        """Events of the reply that was asked for last."""
        self.say(*(Told(self.replies[-1].number, event) for event in events))

    @property
    def replies(self) -> list[Reply]:
        return [request for request in self.requests if isinstance(request, Reply)]

    @property
    def stops(self) -> int:
        return sum(isinstance(request, Stop) for request in self.requests)

    @property
    def settings(self) -> Settings:
        """The newest that were sent."""
        return next(r.settings for r in reversed(self.requests) if isinstance(r, (Change, Reply)))
