"""The sentences the program itself says in the chat. Must not know when they are said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.records import FinishReason, TokenRecord
from tui.engines.protocol import Inspected, LocalInfo, ModelInfo, Ready
from tui.session.open_model import Outcome
from weights.library.names import installed_package
from weights.library.suggestions import good_for

if TYPE_CHECKING:
    from tui.downloads.progress import Fetch

WELCOME = (
    "Say something. Ctrl+Up and Ctrl+Down move the temperature, also while it answers; the panel on the right shows "
    "what every token is chosen from. F1 explains every key and every number."
)
ENDS: dict[FinishReason, str] = {
    "end": "",
    "length": "stopped at the token limit",
    "stop string": "stopped at a stop string",
    "stopped": "stopped",
    "context": "the context is full",
}
_POCKET = 100_000_000  # parameters; below, a model is to play with and to look inside of


def introduction(model: ModelInfo) -> list[str]:
    """What there is to know of a model before one talks to it."""
    sentences = []
    if not model.has_template:
        sentences.append(
            "This model has no chat template that can be used here: it continues the text you give it, and does not "
            "answer."
        )
    if model.n_parameters is not None and model.n_parameters < _POCKET:
        millions = f"{model.n_parameters / 1e6:.1f} million"
        sentences.append(
            f"{model.name} is a pocket model of {millions} parameters, to play with and to look inside of: do not "
            "trust its facts. For real help open a bigger one: Ctrl+O shows what is here and fetches others."
            f"{_offered()}"
        )
    elif (known := good_for(model.name)) is not None:
        sentences.append(f"{model.name} is good for {known}.")
    return sentences


def _offered() -> str:
    """The model in a package that is suggested, if it is here."""
    package = installed_package()
    return f" {package.name} is here, good for {package.good_for}." if package is not None else ""


def opened(ready: Ready, outcome: Outcome, wanted: str, given: Mapping[str, Any]) -> list[str]:
    """A model is open, instead of the one that was wanted or in its stead."""
    model = ready.model
    if outcome == "again":
        return []
    if outcome == "back":
        return [f"{wanted} was not opened: {model.name} is open again."]
    sentences = [f"{model.name} goes on from here."] if outcome == "switched" else []
    return [*sentences, *introduction(model), *filter(None, [recommended(model, given), drafting(ready.local)])]


def what_if(answer: Inspected, record: TokenRecord) -> str:
    """What other settings would have done to that choice; it stands on a border, where there is little room."""
    return f"the same dice, {'the same' if record.id == answer.chosen else 'another'} token"


def recommended(model: ModelInfo, given: Mapping[str, Any]) -> str:
    """What its makers recommend, and what of it the person has decided otherwise; empty if there is nothing."""
    names = {name: name.replace("_", "-") for name in model.sampling} | {"repetition_penalty": "repetition"}
    taken = [f"{names[name]} {value:g}" for name, value in model.sampling.items() if name not in given]
    kept = [names[name] for name in model.sampling if name in given]
    used = f"This model's own settings are used: {', '.join(taken)}." if taken else ""
    return f"{used} {'Yours stay: ' + ', '.join(kept) + '.' if kept else ''}".strip()


def drafting(local: LocalInfo | None) -> str:
    """What guesses for it, or why nothing does; empty if nobody asked for it."""
    if local is None:
        return ""
    if local.draft_fallback_reason:
        return local.draft_fallback_reason
    return f"{local.draft} guesses ahead where that makes it faster." if local.draft else ""


def dropped(count: int) -> str:
    """Messages were left out of the prompt."""
    which = "The oldest message no longer fits" if count == 1 else f"The {count} oldest messages no longer fit"
    return f"{which} in the context: the model does not see them any more."


def fetching(fetch: Fetch) -> str:
    """How far a model is that is fetched meanwhile, in a word; empty if there is none."""
    if not fetch.is_running:
        return ""
    return f"fetching {fetch.fraction:.0%}" if fetch.total else "fetching"


def fetched(end: Fetch) -> str:
    """How the fetching of a model has ended."""
    match end.phase:
        case "done":
            return f"{end.name} has come: Ctrl+O opens it."
        case "stopped":
            return f"{end.reference} is no longer fetched; what has arrived stays."
    return f"{end.reference} was not fetched: {end.failure}"
