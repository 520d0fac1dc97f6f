"""What the screen and the engine say to each other: small frozen values, both ways. Must not know torch or textual.

The screen sends requests at any moment; the engine answers when it has something to tell. A reply is known by
the `number` its request carried, so answers that arrive late are recognised and dropped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from core.conversation import Conversation
from core.records import Finished, Prediction, Prefill, Token
from core.settings import Settings
from weights.load_options import LoadOptions

# --- requests -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Load(LoadOptions):
    """Open this model instead of the one that is open. If that fails, the one before is opened again."""

    model: str
    speculate: bool = True  # guess tokens ahead
    compiled: bool = False  # have the work on a GPU fused


@dataclass(frozen=True)
class Cancel:
    """Stop opening a model, and open the one before again."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """Answer the last message of this conversation."""

    number: int
    conversation: Conversation
    settings: Settings


@dataclass(frozen=True)
class Change:
    """From the next token on, choose with these settings."""

    settings: Settings


@dataclass(frozen=True)
class Stop:
    """Stop within one token, also while the prompt is read."""


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """The distribution from which the token at this position was (or, after the last, would be) chosen, under these
    settings and with the same dice. No forward pass."""

    position: int
    settings: Settings


Request = Load | Cancel | Reply | Change | Stop | Inspect

# --- answers ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Loading:
    """The model is being opened."""

    fraction: float  # of the work, 0 to 1
    what: str


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model, wherever it runs."""

    name: str
    n_parameters: int | None  # None: not known
    context_length: int | None  # tokens; None: not known
    has_template: bool
    sampling: Mapping[str, float] = field(default_factory=dict)  # `Settings` its makers recommend, by name


@dataclass(frozen=True, kw_only=True)
class LocalInfo:
    """How a model is held on this machine."""

    load: Load  # by which it was asked for
    device: str
    precision: str  # the format its weights are held in
    fallback_reason: str | None  # why it decodes in plain torch; None: it does so in C or as a CUDA graph
    draft: str = ""  # the name of what guesses for it
    draft_fallback_reason: str = ""  # why nothing does, though it was asked for


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What an engine can do. Our own can do all of it."""

    full_distribution: bool = True  # a `Prediction` accounts for the whole vocabulary
    inspect: bool = True  # it answers `Inspect`
    live_settings: bool = True  # `Change` acts on the reply under way
    prompt_probabilities: bool = False  # it knows how likely the prompt's own tokens were
    token_ids: bool = True  # the ids it tells are those of the model's vocabulary, and can be given back to it


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A model is open."""

    model: ModelInfo
    local: LocalInfo | None  # None: it runs elsewhere
    capabilities: Capabilities = Capabilities()


@dataclass(frozen=True)
class Compiling:
    """The work for a token is being fused; meanwhile the model answers more slowly than it will."""

    busy: bool


@dataclass(frozen=True)
class Told:
    """Something happened in a reply. Of the tokens told since the last answer, the newest is a `TokenRecord`."""

    number: int
    event: Prefill | Token | Finished


@dataclass(frozen=True, kw_only=True)
class Inspected:
    """The answer to `Inspect`."""

    position: int
    chosen: int  # the token that the same dice give under the settings asked about
    drawn: float  # those dice, in [0, 1)
    prediction: Prediction


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A request could not be carried out. The engine goes on, unless `dead`."""

    message: str
    hint: str = ""
    number: int | None = None  # the reply it was about
    load: Load | None = None  # what could not be opened
    dead: bool = False  # the engine's process is gone; the next request starts a new one


Answer = Loading | Ready | Compiling | Told | Inspected | Failed


class EngineLink(Protocol):
    """The engine as the screen sees it. Neither method ever waits."""

    def send(self, request: Request) -> None:
        """Hand over a request; starts the engine again if it has died."""

    def answers(self) -> list[Answer]:
        """Everything the engine has said since the last call, oldest first."""
        ...

    def close(self) -> None:
        """End the engine at once."""
