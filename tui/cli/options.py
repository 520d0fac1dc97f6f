"""A command line that has been read. Must not know how it is written, nor what the commands do."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.settings import Settings
from tui.engines.protocol import Load


@dataclass(frozen=True, kw_only=True)
class Options:
    """A parsed command line."""

    command: str | None
    load: Load
    settings: Settings
    given: Mapping[str, Any]  # of the settings, what the person said: the rest may be as the model's makers wish
    arguments: argparse.Namespace  # the command's own
