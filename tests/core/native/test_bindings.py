"""What is said twice of the C library is said alike: in api.h and bindings.py, in csrc and pyproject."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from core.native import bindings

CSRC = Path(bindings.__file__).parent / "csrc"
PYPROJECT = Path(__file__).parents[3] / "pyproject.toml"
API = (CSRC / "api.h").read_text()


@pytest.mark.parametrize("enum", ["Format", "NormKind", "Activation", "OperationKind"])
def test_enum_constants_have_the_same_numbers(enum: str) -> None:
    declared = re.search(rf"enum {enum} {{ (.*) }};", API)
    assert declared is not None
    for number, name in enumerate(declared[1].split(", ")):
        assert getattr(bindings, name) == number


@pytest.mark.parametrize("name", ["INTERFACE", "MAX_STEP_TOKENS", "MAX_PREFILL_TOKENS"])
def test_limits_are_the_same(name: str) -> None:
    assert f"enum {{ {name} = {getattr(bindings, name)} }};" in API


@pytest.mark.parametrize("structure", ["Matrix", "Norm", "Buffer", "Heads", "Experts", "Operation", "Run"])
def test_structures_have_the_same_fields_in_the_same_order(structure: str) -> None:
    body = next(part for part in API.split("typedef struct {") if f"\n}} {structure};" in part).split("\n}")[0]
    code = re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)
    fields = [
        re.findall(r"\w+", re.sub(r"\[\d+\]", "", field))[-1] for field in re.split(r"[,;]", code) if field.strip()
    ]
    assert [field[0] for field in getattr(bindings, structure)._fields_] == fields


def test_every_c_file_is_built_and_every_header_is_watched() -> None:
    (module,) = tomllib.loads(PYPROJECT.read_text())["tool"]["setuptools"]["ext-modules"]
    for key, pattern in (("sources", "*.c"), ("depends", "*.h")):
        assert sorted(module[key]) == sorted(str(path.relative_to(PYPROJECT.parent)) for path in CSRC.rglob(pattern))
