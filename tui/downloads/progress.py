"""How far a model is that comes from the hub, as a value to look at. Must not know how it comes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal["idle", "asking", "coming", "stopping", "stopped", "failed", "done"]


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """How far it is."""

    phase: Phase = "idle"
    reference: str = ""  # as the person wrote it
    file: str = ""  # that is coming
    done: int = 0  # bytes, of all files
    total: int = 0
    speed: float | None = None  # bytes a second over the network, lately
    name: str = ""  # to open it by, when it is done
    failure: str = ""

    @property
    def is_running(self) -> bool:
        return self.phase in ("asking", "coming", "stopping")

    @property
    def fraction(self) -> float:
        return self.done / self.total if self.total else 0.0

    @property
    def seconds_left(self) -> float | None:
        return (self.total - self.done) / self.speed if self.speed else None
