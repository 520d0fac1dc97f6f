"""A model and a smaller one that drafts for it, opened together. Knows no screen, and not how drafting is done."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from core.backends.choose import lookahead_obstacle
from core.errors import BadDraft, LogitscopeError
from core.model import Model
from core.speculative.draft_model import DraftModel
from core.speculative.vocab_check import check_same
from weights.fit.chosen_quantization import ChosenQuantization
from weights.fit.requirement import DTYPE_BITS, context_that_fits, gigabytes
from weights.library.names import find
from weights.load import LocatedModel, Progress, fit, locate, read, tell_nobody
from weights.load_options import LoadOptions

ITSELF = ("int8", "int4")  # in place of a name: the model itself, held so


@dataclass(frozen=True, kw_only=True)
class LoadedPair:
    """A model, and what drafts for it."""

    model: Model
    draft: DraftModel | None = None
    draft_fallback_reason: str = ""  # why no draft was opened though one was wanted, in a sentence


def load_with_draft(source: str | Path, options: LoadOptions, on_progress: Progress | None = None) -> LoadedPair:
    """Open a model and the draft that the options name, of the same vocabulary.

    The draft is held in 8 bits, or in fewer if it is stored so. It is named as `source` is, or is one of `ITSELF`; the
    same name is itself in int8. Where tokens are not decoded in C, it would gain nothing and is not opened. Without
    `draft_needed` the model is opened all the same, and the sentence says why there is no draft.

    Raises:
        BadDraft: it is of another vocabulary, or no smaller.
        LogitscopeError: see `load`, for either of them.
    """
    tell = on_progress or tell_nobody
    located = locate(source, options, tell)
    reason = ""
    if options.draft is not None:
        no_step = lookahead_obstacle(located.config, located.device, located.dtype)
        try:
            if no_step is None:
                return _read_both(located, options.draft, options, tell)
            reason = f"{options.draft} does not draft for {located.name}, as guesses need decoding in C: {no_step}."
        except LogitscopeError as error:
            if options.draft_needed:
                raise
            reason = f"Without a draft: {error.message}"
    fitted = fit(located, located.quantized(options.quantize), context=options.context)
    return LoadedPair(model=read(fitted, tell), draft_fallback_reason=reason)


def _read_both(located: LocatedModel, draft: str, options: LoadOptions, tell: Progress) -> LoadedPair:
    """The draft first: if it cannot be read, the model is not read in vain."""
    located_draft, chosen_draft = _locate_draft(located, draft, tell)
    alone = located.quantized(options.quantize).requirement
    both = located.quantized(options.quantize, draft=chosen_draft.requirement)
    draft_size = chosen_draft.requirement.weights(located_draft.available.dtype)
    size = alone.weights(located.available.dtype)
    if draft_size >= size:
        raise BadDraft(
            f"{located_draft.name} cannot draft for {located.name}: it takes {gigabytes(draft_size)}, and the model "
            f"itself {gigabytes(size)}.",
            "A draft makes writing faster if it is several times smaller.",
        )
    name = f"{located.name} with the draft {located_draft.name}"
    context = context_that_fits(both.requirement, located.available, asked=options.context, name=name)
    draft_context = min(context, located_draft.config.context_length)
    share = draft_size / (draft_size + both.requirement.weights(located.available.dtype))
    draft_model = read(fit(located_draft, chosen_draft, context=draft_context), _part(tell, 0.0, share))
    model = read(fit(located, both, context=context), _part(tell, share, 1.0))
    is_itself = located_draft.files is located.files
    return LoadedPair(model=model, draft=DraftModel(model=draft_model, itself=is_itself))


def _locate_draft(located: LocatedModel, draft: str, tell: Progress) -> tuple[LocatedModel, ChosenQuantization]:
    """The draft, and how it is held."""
    if draft not in ITSELF and find(draft) == located.files.path:
        draft = "int8"
    if draft in ITSELF:  # its cache is the model's own
        chosen = located.quantized(draft)
        itself = replace(located, name=f"{located.name} in {draft}")
        return itself, replace(chosen, requirement=replace(chosen.requirement, cache_values=0))
    dtype = located.available.dtype
    other = locate(draft, LoadOptions(device=str(located.device), dtype=dtype), tell)
    check_same(located.name, located.tokenizer, other.name, other.tokenizer)
    return other, other.quantized(None if other.bits_as_stored < DTYPE_BITS[dtype] else "int8")


def _part(tell: Progress, begin: float, end: float) -> Progress:
    """Progress of a part of the work."""
    return lambda fraction, what: tell(begin + (end - begin) * fraction, what)
