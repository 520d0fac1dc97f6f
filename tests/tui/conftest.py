"""A checkpoint on disk or a hub to fetch one from, for what is started as a process; what the chat pane parses."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from safetensors.torch import save_file

from core.model import Model
from core.settings import Settings
from tests.support.tiny import CHATML, tiny_backend
from tests.tui.support.screen import Screen, until
from tests.tui.support.scripted import READY, ScriptedEngine
from tests.weights.support.loopback_hub import Hub, Repo
from tui.app import LogitscopeApp
from tui.widgets.status import StatusBar
from tui.widgets.transcript import message as entry_module
from weights.families.own_format import fields_of
from weights.library.names import BUNDLED


@pytest.fixture(scope="session")
def checkpoint(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model in our own format. It never ends a turn by itself."""
    folder = tmp_path_factory.mktemp("checkpoint") / "tiny0"  # a name that does not depend on which tests ran before
    folder.mkdir()
    config = {"model_type": "logitscope", "transformer": fields_of(model.transformer.config)}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(tiny_backend().to_str())
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHATML}))
    save_file(model.transformer.state_dict(), folder / "model.safetensors")
    return folder


@pytest.fixture
def own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a model that can be opened, and our own empty folder for downloads; processes inherit both."""
    for name in [name for name in os.environ if name.startswith("HF_")]:
        monkeypatch.delenv(name)
    folders = {"HOME": "home", "LOGITSCOPE_DATA": "data", "HF_HOME": "hf", "OLLAMA_MODELS": "ollama"}
    for name, folder in folders.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = {path.name: path.read_bytes() for path in BUNDLED.glob("textbook/*")}
    with Hub({"some/model": Repo(files)}) as running:
        monkeypatch.setenv("HF_ENDPOINT", running.address)
        yield running


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pieces of Markdown that are parsed, in order."""
    found: list[str] = []
    parse = entry_module.parse
    monkeypatch.setattr(entry_module, "parse", lambda source: found.append(source) or parse(source))
    return found


@pytest.fixture
def own_data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own empty folder for what the program keeps."""
    monkeypatch.setenv("LOGITSCOPE_DATA", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
async def screen(own_data_folder: None) -> AsyncIterator[Screen]:
    """The whole screen with an engine that follows a script, and a model that is ready."""
    engine = ScriptedEngine()
    app = LogitscopeApp(engine, Settings())
    async with app.run_test(size=(120, 52)) as pilot:
        engine.say(READY)
        await until(pilot, lambda: app.query_one(StatusBar).state.activity == "ready")
        yield app, engine, pilot
