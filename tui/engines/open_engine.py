"""A model and its draft become an engine, wherever one runs: in a process of its own, or in a command's.

Must not know the screen. Torch is loaded when an engine is opened, not when this is imported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.engines.protocol import Load

if TYPE_CHECKING:
    from core.engine import Engine
    from weights.load import Progress


@dataclass(frozen=True, kw_only=True)
class OpenedEngine:
    """An engine, and what became of the draft."""

    engine: Engine
    draft: str  # the name of what guesses for it; "": nothing does
    draft_fallback_reason: str  # why nothing does, though it was asked for


def open_engine(
    load: Load,
    *,
    on_progress: Progress | None = None,
    on_compiling: Callable[[bool], None] = lambda busy: None,
) -> OpenedEngine:
    """
    Args:
        on_progress: told the part of the loading that is done, 0 to 1, and what is being done.
        on_compiling: told when the work for a token begins to be fused, and when that ends.

    Raises:
        LogitscopeError: see `weights.load_draft.load_with_draft`.
    """
    from core.backends.cuda_graph.compiler import Compiler
    from core.engine import Engine
    from weights.load_draft import load_with_draft

    pair = load_with_draft(load.model, load, on_progress)
    compiler = Compiler(tell=on_compiling) if load.compiled else None
    return OpenedEngine(
        engine=Engine(pair.model, speculate=load.speculate, draft=pair.draft, compiler=compiler),
        draft="" if pair.draft is None else pair.draft.model.name,
        draft_fallback_reason=pair.draft_fallback_reason,
    )
