"""Who proposes tokens for a sequence, in the order in which they are asked. Must not know how any of them does it."""

from __future__ import annotations

from core.decoding.lookahead import Proposer
from core.decoding.model_runner import ModelRunner
from core.model import Model
from core.speculative.draft_model import DraftModel
from core.speculative.ngram import PromptLookup


def proposers_for(model: Model, runner: ModelRunner, *, ngrams: bool, draft: DraftModel | None) -> list[Proposer]:
    """None where a step of several tokens costs as much as these tokens one by one: there nothing would be gained.

    Args:
        ngrams: look for what has been said before.
        draft: asked where nothing has.
    """
    most = runner.backend.max_step_tokens - 1
    if not most:
        return []
    proposers: list[Proposer] = [PromptLookup(most)] if ngrams else []
    return proposers if draft is None else [*proposers, draft.proposer(model, runner)]
