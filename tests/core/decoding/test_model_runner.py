"""How a text is cut into passes: in torch always alike, in C by how long they take, and the numbers stay the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.backends.base import Backend
from core.backends.eager import MAX_PREFILL_TOKENS, EagerBackend
from core.backends.native import NativeBackend
from core.decoding.model_runner import ModelRunner
from core.native import bindings as native
from core.transformer import Transformer
from tests.core.support.transformers import SMALL

COUNT = 2 * MAX_PREFILL_TOKENS + 40


def read(backend: Backend) -> tuple[list[int], Tensor]:
    """The lengths of the passes, and the hidden states."""
    runner = ModelRunner(backend)
    ids, lengths = [number * 7 % 101 for number in range(COUNT)], []
    for part in runner.chunks(ids):
        runner.prefill(part, length=COUNT)
        lengths.append(len(part))
    return lengths, runner._hidden[:COUNT].clone()


@pytest.fixture
def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(replace(SMALL, context_length=COUNT)).to(torch.bfloat16).eval()


def test_torch_reads_the_same_passes_however_long_they_take(
    transformer: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in (0.0, 1e9):
        monkeypatch.setattr("core.backends.native._PATIENCE", patience)
        backend = EagerBackend(transformer, device=torch.device("cpu"), dtype=torch.bfloat16)
        assert read(backend)[0] == [MAX_PREFILL_TOKENS, MAX_PREFILL_TOKENS, 40]


def test_in_c_passes_become_shorter_where_they_take_long(
    transformer: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = native.library()
    if found is None or not found.logitscope_can_prefill():
        pytest.skip("this processor does not read many tokens in C")
    whole = read(NativeBackend(transformer, dtype=torch.bfloat16, n_threads=1))
    monkeypatch.setattr("core.backends.native._PATIENCE", 0.0)
    parts = read(NativeBackend(transformer, dtype=torch.bfloat16, n_threads=1))
    assert (whole[0], parts[0]) == (
        [MAX_PREFILL_TOKENS, MAX_PREFILL_TOKENS, 40],
        [MAX_PREFILL_TOKENS, 128, 128, 128, 128, 40],
    )
    assert torch.equal(whole[1], parts[1])
