"""What every test shares: one thread of arithmetic, a data folder, and a model small enough to make in a moment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator

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


def pytest_configure(config: pytest.Config) -> None:
    """Our own empty data folder: not the person's, nor that of tests that run beside these."""
    folder = tempfile.TemporaryDirectory(prefix="logitscope-")
    os.environ["LOGITSCOPE_DATA"] = folder.name
    config.add_cleanup(folder.cleanup)


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """`-n auto` is as many processes as there are processors, but each takes about 1 GB and half a minute to begin."""
    return min((yield), 8)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return tiny_tokenizer()


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Model:
    """Never change it: it is shared."""
    return tiny_model(tokenizer)
