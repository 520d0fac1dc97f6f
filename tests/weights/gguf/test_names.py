"""What is read from the names of GGUF files."""

from __future__ import annotations

import pytest

from weights.gguf.names import is_model_file, parts_of, quantization_in


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-0.5b-instruct-q8_0.gguf", "Q8_0"),
        ("model-IQ4_XS-00001-of-00003.gguf", "IQ4_XS"),
        ("gpt-oss-20b-MXFP4.gguf", "MXFP4"),
        ("tinyllama-1.1b-chat-v1.0.Q2_K.gguf", "Q2_K"),
        ("gemma-3-4b-it-BF16.gguf", "BF16"),
        ("Qwen2-7B.gguf", None),
        ("x/y:big/tiny-F16.gguf", "F16"),
    ],
)
def test_the_number_format_in_a_name(name: str, format_: str | None) -> None:
    assert quantization_in(name) == format_


def test_names_of_parts() -> None:
    assert parts_of("a.gguf") == ["a.gguf"]
    assert parts_of("a-00001-of-00003.gguf") == [f"a-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    assert len(parts_of("a-00001-of-99999.gguf")) == 1000
    for name, is_one in (
        ("a.GGUF", True),
        ("a-00002-of-00003.gguf", False),
        ("mmproj-a.gguf", False),
        ("a.txt", False),
    ):
        assert is_model_file(name) is is_one
