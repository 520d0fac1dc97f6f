"""Names of files that a stranger wrote."""

from __future__ import annotations

import pytest

from weights.untrusted.file_names import is_plain_name, is_plain_path


@pytest.mark.parametrize("name", ["model.safetensors", "model-00001-of-00002.gguf", "größe 7.bin", "..a", "x" * 255])
def test_a_name_that_stays_where_it_is_put(name: str) -> None:
    assert is_plain_name(name)
    assert is_plain_path(name)
    assert is_plain_path(f"folder/{name}")


@pytest.mark.parametrize("name", ["", ".", "..", "a\\b", "C:a", "a\0", "a\n", "a\x1b[2J", "\ud800", "ö" * 128])
def test_a_name_that_leads_elsewhere_or_cannot_be_shown(name: str) -> None:
    assert not is_plain_name(name)
    assert not is_plain_path(f"folder/{name}")
    assert not is_plain_path(f"{name}/file")


@pytest.mark.parametrize("path", ["/etc/passwd", "a//b", "../a", "a/../../b", "a/"])
def test_a_path_that_leads_elsewhere(path: str) -> None:
    assert not is_plain_name(path)
    assert not is_plain_path(path)
