"""Models inside installed packages: found without importing one, named, with licence and origin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import BadSetting
from tests.weights.support.tiny_gguf import write
from weights.hub.remove import remove
from weights.library import paths
from weights.library.listing import listing
from weights.library.names import find, title
from weights.library.packages import packaged_models
from weights.load import load

ROOT = Path(__file__).parents[3]
_METADATA = """Metadata-Version: 2.2
Name: llm-pocket
Version: 0.1.2
License: Apache-2.0
Project-URL: Changelog, https://example.org/pocket/releases
Project-URL: Homepage, https://example.org/pocket
Classifier: License :: OSI Approved :: Apache Software License

License: nonsense of the prose
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages, and nothing else on the machine."""
    for name in ("HOME", "LOGITSCOPE_DATA", "OLLAMA_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("LOGITSCOPE_MODELS", raising=False)
    place = tmp_path / "site-packages"
    monkeypatch.setattr(paths, "package_folders", lambda: [tmp_path / "nowhere", place])
    return place


def install(place: Path, folder: str, *files: str, info: str = "", metadata: str = "", record: str = "") -> Path:
    """A package whose code must not run, and its description, as pip lays them out."""
    package = place / folder
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("raise SystemExit('it was imported')")
    for file in files:
        write("llama", package / file)
    if info:
        (place / f"{info}.dist-info").mkdir(exist_ok=True)
        (place / f"{info}.dist-info" / "METADATA").write_text(metadata)
        (place / f"{info}.dist-info" / "RECORD").write_text(record)
    return package


def test_a_model_in_a_package_has_a_short_name_a_licence_and_an_origin(place: Path) -> None:
    package = install(place, "llm_pocket", "Pocket-Q4_1.gguf", info="llm_pocket-0.1.2", metadata=_METADATA)
    (package / "deeper").mkdir()
    os.link(package / "Pocket-Q4_1.gguf", package / "deeper" / "other.gguf")
    (entry,) = [entry for entry in listing() if entry.source == "package"]
    assert (entry.name, entry.licence, entry.origin) == ("pocket", "Apache-2.0", "package llm-pocket 0.1.2")
    assert (entry.page, entry.problem, entry.family) == ("https://example.org/pocket", None, "llama")
    assert find("pocket") == find("POCKET") == entry.path == package / "Pocket-Q4_1.gguf"
    assert title(entry.path) == load("pocket").name == "pocket"
    with pytest.raises(BadSetting, match="came in a package") as caught:
        remove("pocket")
    assert "pip uninstall llm-pocket" in caught.value.hint


def test_other_ways_to_lay_out_and_to_describe_a_package(place: Path) -> None:
    install(
        place, "two", "a.gguf", "b.gguf", "mmproj-a.gguf", info="two_gguf-1", metadata="Name: Two-GGUF\nVersion: 1\n"
    )
    install(place, "code", "c.gguf", info="named-2", record="code/c.gguf,,\n", metadata="Name: named\nLicense: MIT\n")
    install(place, "alone", "d.gguf")
    prose = (
        "Name: ../evil\x1b\nVersion: "
        + "9" * 100
        + "\nLicense: "
        + "All rights. " * 50
        + "\nClassifier: License :: OSI :: BSD\n"
    )
    install(place, "odd", "e.gguf", info="odd-1", metadata=prose)
    install(place, "bundled", "f.gguf")
    found = {model.name: (model.origin, model.licence) for model in packaged_models([place])}
    assert found == {
        "two:a.gguf": ("package two", None),
        "two:b.gguf": ("package two", None),
        "named": ("package named", "MIT"),
        "alone": ("package alone", None),
        "odd": ("package odd", "BSD"),
        "bundled": ("package bundled", None),
    }
    names = [entry.name for entry in listing()]
    assert str(place / "bundled" / "f.gguf") in names, "the name is that of the model that comes along"
    assert names.count("bundled") == 1


def test_a_folder_without_installed_packages_is_no_place_for_them(place: Path) -> None:
    install(place, "source", "a.gguf")
    assert not list(packaged_models([place, place / "missing"]))


def test_nothing_is_imported_and_what_reads_models_is_not_loaded(place: Path) -> None:
    install(place, "llm_pocket", "Pocket-Q4_1.gguf", info="llm_pocket-0.1.2", metadata=_METADATA)
    program = "import sys; from weights.library.names import find; print(find('pocket'), *sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(place), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    path, *modules = done.stdout.split()
    assert (done.stderr, path) == ("", str(place / "llm_pocket" / "Pocket-Q4_1.gguf"))
    assert not {"llm_pocket", "importlib.metadata", "email", "torch", "numpy", "gguf"} & set(modules)
