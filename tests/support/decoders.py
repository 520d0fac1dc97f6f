"""Decoders for a transformer alone, on a backend of one's choice."""

from __future__ import annotations

from collections.abc import Callable

import torch

from core.backends.base import Backend
from core.backends.choose import choose_backend
from core.backends.cuda_graph.compiler import Compiler
from core.backends.eager import EagerBackend
from core.decoding.decoder import Decoder
from core.decoding.lookahead import Proposer
from core.decoding.model_runner import ModelRunner
from core.speculative.ngram import PromptLookup
from core.transformer import Transformer

CPU = torch.device("cpu")


def decoder_of(
    transformer: Transformer,
    *,
    device: torch.device = CPU,
    dtype: torch.dtype = torch.float32,
    eager: bool = False,
    speculate: bool = False,
    compiler: Compiler | None = None,
    draft: Callable[[ModelRunner], Proposer] | None = None,
) -> Decoder:
    """
    Args:
        eager: in torch alone.
        speculate: propose what has been said before.
        draft: proposes where nothing has, for the sequence of this runner.
    """
    backend: Backend
    if eager:
        backend = EagerBackend(transformer, device=device, dtype=dtype)
    else:
        backend = choose_backend(transformer, device=device, dtype=dtype, compiler=compiler)
    runner, proposers = ModelRunner(backend), list[Proposer]()
    if speculate and backend.max_step_tokens > 1:
        proposers.append(PromptLookup(backend.max_step_tokens - 1))
    if draft is not None:
        proposers.append(draft(runner))
    return Decoder(runner, proposers)
