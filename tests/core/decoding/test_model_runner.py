"""How a text is cut into passes: in torch always alike, in C by how long they take, and the numbers stay the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from core.decoding.model_runner import CHUNK, ModelRunner
from core.native import bindings as native
from core.transformer import Transformer
from tests.core.support.transformers import SMALL

COUNT = 2 * CHUNK + 40


def read(reader: ModelRunner) -> tuple[list[int], Tensor]:
    """The lengths of the passes, and the hidden states."""
    ids, lengths = [number * 7 % 101 for number in range(COUNT)], []
    for part in reader.chunks(ids):
        reader.read(part, length=COUNT)
        lengths.append(len(part))
    return lengths, reader._hidden[:COUNT].clone()


@pytest.fixture
def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer(replace(SMALL, context_length=COUNT)).to(torch.bfloat16).eval()


def reader_of(transformer: Transformer, *, native: bool) -> ModelRunner:
    return ModelRunner(transformer, device=torch.device("cpu"), dtype=torch.bfloat16, native=native)


def test_torch_reads_the_same_passes_however_long_they_take(
    transformer: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patience in (0.0, 1e9):
        monkeypatch.setattr("core.decoding.model_runner._PATIENCE", patience)
        assert read(reader_of(transformer, native=False))[0] == [CHUNK, CHUNK, 40]


def test_in_c_passes_become_shorter_where_they_take_long(
    transformer: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = native.library()
    if found is None or not found.logitscope_can_prefill():
        pytest.skip("this processor does not read many tokens in C")
    whole = read(reader_of(transformer, native=True))
    monkeypatch.setattr("core.decoding.model_runner._PATIENCE", 0.0)
    parts = read(reader_of(transformer, native=True))
    assert (whole[0], parts[0]) == ([CHUNK, CHUNK, 40], [CHUNK, 128, 128, 128, 128, 40])
    assert torch.equal(whole[1], parts[1])
