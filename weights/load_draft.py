"""A model and a smaller one that drafts for it, opened together. Knows no screen, and not how drafting is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from core.backends.native import fallback_reason
from core.errors import BadDraft, LogitscopeError
from core.model import Model
from core.speculative.draft_model import DraftModel
from core.speculative.vocab_check import check_same
from weights.fit import requirement as memory
from weights.fit.requirement import gigabytes
from weights.library import listing as shelf
from weights.load import Plan, Progress, plan, read, tell_nobody

ITSELF = ("int8", "int4")  # in place of a name: the model itself, held so


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A model, and what drafts for it."""

    model: Model
    draft: DraftModel | None = None
    draft_fallback_reason: str = ""  # why no draft was opened though one was wanted, in a sentence


def load_with_draft(
    source: str | Path,
    draft: str | None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    context: int | None = None,
    quantize: str | None = None,
    on_progress: Progress | None = None,
    needed: bool = True,
) -> Pair:
    """Open a model and its draft, of the same vocabulary. The draft is held in 8 bits, or in fewer if it is stored so.

    Where tokens are not decoded in C, the draft would gain nothing and is not opened.

    Args:
        draft: as `source`, or one of `ITSELF`; None for none. The others: see `load`. The same name is itself in int8.
        needed: without it the model is not opened either; else the sentence says why there is none.

    Raises:
        BadDraft: it is of another vocabulary, or no smaller.
        LogitscopeError: see `load`, for either of them.
    """
    tell = on_progress or tell_nobody
    planned = plan(source, device=device, dtype=dtype, context=context, on_progress=tell)
    why = ""
    if draft is not None:
        no_step = fallback_reason(planned.config, planned.device, planned.dtype)
        try:
            if no_step is None:
                return _read_both(planned, draft, context, quantize, tell)
            why = f"{draft} does not draft for {planned.name}, as guesses need decoding in C: {no_step}."
        except LogitscopeError as error:
            if needed:
                raise
            why = f"Without a draft: {error.message}"
    return Pair(model=read(planned.held(quantize), context=context, on_progress=tell), draft_fallback_reason=why)


def _read_both(planned: Plan, draft: str, context: int | None, quantize: str | None, tell: Progress) -> Pair:
    """The draft first: if it cannot be read, the model is not read in vain."""
    its = _plan_draft(planned, draft, tell)
    alone, both = planned.held(quantize), planned.held(quantize, draft=its.need)
    sizes = [one.need.weights(one.room.dtype) for one in (its, alone)]
    if sizes[0] >= sizes[1]:
        raise BadDraft(
            f"{its.name} cannot draft for {planned.name}: it takes {gigabytes(sizes[0])}, and the model itself "
            f"{gigabytes(sizes[1])}.",
            "A draft makes writing faster if it is several times smaller.",
        )
    name = f"{planned.name} with the draft {its.name}"
    fitting = memory.context_that_fits(both.need, both.room, asked=context, name=name)
    share = sizes[0] / (sizes[0] + both.need.weights(both.room.dtype))
    its_context = min(fitting, its.config.context_length)
    draft_model = read(its, context=its_context, on_progress=_part(tell, 0.0, share))
    model = read(both, context=fitting, on_progress=_part(tell, share, 1.0))
    return Pair(model=model, draft=DraftModel(model=draft_model, itself=its.files is planned.files))


def _plan_draft(planned: Plan, draft: str, tell: Progress) -> Plan:
    if draft not in ITSELF and shelf.find(draft) == planned.files.place:
        draft = "int8"
    if draft in ITSELF:
        its = planned.held(draft)
        return replace(its, name=f"{planned.name} in {draft}", need=replace(its.need, cache_values=0))
    dtype = planned.room.dtype
    its = plan(draft, device=str(planned.device), dtype=dtype, context=None, on_progress=tell)
    check_same(planned.name, planned.tokenizer, its.name, its.tokenizer)
    return its.held(None if its.bits_as_stored < memory.BITS[dtype] else "int8")


def _part(tell: Progress, begin: float, end: float) -> Callable[[float, str], None]:
    """Progress of a part of the work."""
    return lambda fraction, what: tell(begin + (end - begin) * fraction, what)
