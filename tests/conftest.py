"""What every test shares: one thread of arithmetic, and a model small enough to make in a moment."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes the tests start
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest
import torch
from hypothesis import settings

from core.model import Model
from core.text.tokenizer import Tokenizer
from tests.support.tiny import tiny_model, tiny_tokenizer

torch.set_num_threads(1)
settings.register_profile("logitscope", deadline=None, derandomize=True)  # a busy machine is not a failure
settings.load_profile("logitscope")


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Model:
    """Never change it: it is shared."""
    return tiny_model(tokenizer)
