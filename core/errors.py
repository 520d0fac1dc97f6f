"""What can go wrong because of a person, a file or a machine: one base error, one subclass per cause.

A programmer's mistake is a ``ValueError``; everything here is meant to be read by the person at the
keyboard, so each error is one sentence that names the offending value and, as a hint, what to do.
"""

from __future__ import annotations


class LogitscopeError(Exception):
    """Base of every error a person can cause: a sentence and what to do about it."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def __reduce__(self) -> tuple[type[LogitscopeError], tuple[str, str]]:
        return type(self), (self.message, self.hint)  # pickled from the engine's process to the screen's


class BadSetting(LogitscopeError):
    """A setting outside its range."""


class BadDevice(LogitscopeError):
    """A device or number format this machine does not have."""


class ModelNotFound(LogitscopeError):
    """No model under that name or path."""


class BadCheckpoint(LogitscopeError):
    """The files are there but damaged, incomplete or contradictory."""


class UnsupportedModel(LogitscopeError):
    """The files are fine, but the model is of a kind we would run wrongly."""


class BadDraft(LogitscopeError):
    """A draft model that cannot guess for the model it was chosen for."""


class BadTemplate(LogitscopeError):
    """The model's chat template does not render this conversation."""


class ContextFull(LogitscopeError):
    """The text does not fit in the model's context."""


class EmptyPrompt(LogitscopeError):
    """A model that needs at least one token to go on from was given none."""


class OutOfMemory(LogitscopeError):
    """The model or its cache does not fit in memory."""


class DownloadFailed(LogitscopeError):
    """A model could not be fetched: the network, the hub, the permission or the disk is in the way."""
