"""A checkpoint on disk for what is started as a process of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import save_file

from core.model import Model
from tests.tiny import CHATML, tiny_backend
from weights.own_format import fields_of


@pytest.fixture(scope="session")
def checkpoint(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model in our own format. It never ends a turn by itself."""
    folder = tmp_path_factory.mktemp("tiny")
    config = {"model_type": "logitscope", "transformer": fields_of(model.transformer.config)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tiny_backend().to_str())
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML}))
    save_file(model.transformer.state_dict(), folder / "model.safetensors")
    return folder
