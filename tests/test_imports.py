"""Who may import whom, and what must not be loaded before it is needed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

ROOT = Path(__file__).parents[1]
_SLOW = {"torch", "numpy", "tokenizers", "transformers", "jinja2", "safetensors", "huggingface_hub", "httpx2"}


def loaded_by(*modules: str) -> set[str]:
    """The top-level packages in memory after importing these modules in a fresh interpreter."""
    program = "import sys\n" + "".join(f"import {module}\n" for module in modules)
    program += "print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


# What the first frame does without, by whole names: each would cost it milliseconds.
_LATER = {
    "email",
    "importlib.metadata",
    "markdown_it",
    "rich.markdown",
    "textual.widgets._footer",
    "textual.widgets._markdown",
    "tui.cli.commands",
    "tui.cli.bench_command",
    "tui.cli.tables",
    "tui.cli.models_command",
    "tui.screens.help",
    "tui.screens.models",
    "weights.hub.pull",
    "weights.library.probe",
    "zipfile",
}
_FIRST_FRAME = """
import asyncio, sys
import tui.__main__, tui.cli.main, tui.cli.options, tui.start
from core.settings import Settings
from tui.app import LogitscopeApp

class Silent:
    def send(self, request): pass
    def answers(self): return []
    def close(self): pass

mount = LogitscopeApp.on_mount

def first_of_all_ask(app):
    app.call_after_refresh(lambda: print("loaded", *sys.modules))
    mount(app)

LogitscopeApp.on_mount = first_of_all_ask

async def main():
    async with LogitscopeApp(Silent(), Settings(**tui.cli.options.parse([]).given)).run_test(size=(140, 50)) as pilot:
        await pilot.pause()

asyncio.run(main())
"""


def everything_in(package: str) -> list[str]:
    """Every module, but for the recipe, whose libraries an installed program does without."""
    paths = (path.relative_to(ROOT).with_suffix("") for path in (ROOT / package).rglob("*.py"))
    names = (".".join(path.parts) for path in paths if not path.name.startswith("__"))
    return sorted(name for name in names if not name.startswith("weights.recipe"))


def test_the_import_contracts_hold(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    failed = lint_imports(no_cache=True)
    shown = capsys.readouterr().out
    assert not failed, shown
    assert "tui -> weights -> core KEPT" in shown
    assert "0 broken" in shown
    assert "inside weights KEPT" in shown


def test_a_look_back_up_the_road_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first contract itself, over three packages of the same names where one import goes the wrong way."""
    code = {"core": "import weights.a", "weights": "", "tui": "import core.a"}
    for package, text in code.items():
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
        (tmp_path / package / "a.py").write_text(text)
    (tmp_path / "pyproject.toml").write_text("".join(_contracts()[:2]))
    code, out = _linted(tmp_path)
    assert code != 0
    assert "core is not allowed to import weights" in out


_NO_TEXTUAL = "tui.session, tui.engines and tui.downloads know no textual"


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        ("tui/widgets/status.py", "import tui.engines.protocol", "tui.widgets know no engine"),
        ("tui/widgets/status.py", "import tui.session.chat", "tui.widgets know no engine"),
        ("tui/session/chat.py", "import textual", _NO_TEXTUAL),
        (
            "tui/engines/outbox.py",
            "import tui.widgets.panels.bars",
            _NO_TEXTUAL,
        ),
        ("tui/cli/tables.py", "import tui.widgets.panels.bars", "tui.cli knows no textual"),
        ("tui/session/chat.py", "import tui.controllers.notes", "tui: from the command line to the engines"),
        ("tui/downloads/progress.py", "import textual", _NO_TEXTUAL),
        ("core/native/quantize.py", "import core.text.tokenizer", "core.native is a leaf"),
        ("core/decoding/decoder.py", "import core.sampling.dice", "backends and decoding know no text and no sampling"),
        ("core/text/prompt.py", "import torch", "text and sampling know no model"),
        ("core/engine.py", "import core.backends.native", "a backend is chosen in core.backends.choose alone"),
    ],
)
def test_a_way_through_a_wall_of_the_house_would_be_seen(tmp_path: Path, module: str, line: str, broken: str) -> None:
    for package in ("core", "weights", "tui"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=lambda folder, names: _not_code(Path(folder), names))
    (tmp_path / "pyproject.toml").write_text("".join(_contracts()))
    with (tmp_path / module).open("a") as file:
        file.write(f"{line}\n")
    code, out = _linted(tmp_path)
    assert code != 0
    assert f"{broken} BROKEN" in out


def _contracts() -> list[str]:
    """The linter's own settings, and every contract."""
    settings = (ROOT / "pyproject.toml").read_text().partition("[tool.importlinter]")
    first, *contracts = "".join(settings[1:]).split("[[tool.importlinter.contracts]]")
    return [first, *(f"[[tool.importlinter.contracts]]{contract}" for contract in contracts)]


def _not_code(folder: Path, names: list[str]) -> list[str]:
    return [name for name in names if not (folder / name).is_dir() and not name.endswith(".py")]


def _linted(folder: Path) -> tuple[int, str]:
    program = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


def test_core_knows_no_screen() -> None:
    modules = everything_in("core")
    assert "core.engine" in modules
    assert not loaded_by(*modules) & {"textual", "rich", "tui", "weights", "transformers", "safetensors"}


def test_weights_knows_no_screen() -> None:
    assert not loaded_by(*everything_in("weights")) & {"textual", "rich", "tui", "transformers"}


@pytest.mark.parametrize(
    "module",
    [
        "core.errors",
        "core.config",
        "core.setting_specs",
        "core.settings",
        "core.conversation",
        "core.records",
        "tui.engines.open_engine",
        "tui.engines.protocol",
        "tui.session.engine_state",
        "tui.session.open_model",
        "tui.actions",
        "tui.cli.main",
        "tui.engines.local",
        "tui.app",
        "tui.cli.models_command",
        "tui.downloads.fetch",
        "tui.downloads.worker",
        "tui.screens.fetch",
        "weights.gguf.names",
        "weights.hub.remove",
        "weights.library.listing",
        "weights.library.names",
        "weights.library.suggestions",
        "weights.load_options",
    ],
)
def test_the_screen_is_there_before_torch_is(module: str) -> None:
    loaded = loaded_by(module)
    assert not loaded & _SLOW
    assert module.partition(".")[0] in loaded


def test_the_command_line_is_read_before_textual_is_loaded() -> None:
    assert not loaded_by("tui.__main__", "tui.cli.main") & {"textual", "torch", "huggingface_hub"}


def test_the_first_frame_is_drawn_with_what_it_needs() -> None:
    done = subprocess.run([sys.executable, "-c", _FIRST_FRAME], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.partition("loaded ")[2].split())
    assert "tui.widgets.panels.next_token" in loaded
    assert not loaded & _LATER
    assert not {name.partition(".")[0] for name in loaded} & _SLOW
