"""What a command reads: a real process with real pipes, its tokens against those of the text it should have read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
FIFTY = "".join(f"{n}\n" for n in range(1, 21))


def run(*arguments: str | bytes, say: bytes | None = None) -> tuple[int, str, str]:
    given: dict[str, Any] = {"stdin": subprocess.DEVNULL} if say is None else {"input": say}
    command: list[str | bytes] = [sys.executable, "-m", "tui", *arguments]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, timeout=120, check=False, **given)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def asked(folder: Path, *arguments: str | bytes, say: bytes | None = None) -> list[int]:
    """The prompt that `next` reads for these."""
    code, out, errors = run("next", *arguments, "--json", "--model", str(folder), say=say)
    assert code == 0, errors
    found = json.loads(out)["prompt_ids"]
    assert isinstance(found, list)
    return found


def prompt_tokens(folder: Path, *arguments: str | bytes, say: bytes | None = None) -> int:
    code, out, errors = run("ask", *arguments, "--json", "--max-tokens", "1", "--model", str(folder), say=say)
    assert code == 0, errors
    return int(json.loads(out.splitlines()[-1])["prompt_tokens"])


def test_what_is_piped_goes_before_the_argument(checkpoint: Path) -> None:
    expected = asked(checkpoint, f"{FIFTY}\nThe sum?")
    assert asked(checkpoint, "The sum?", say=FIFTY.encode()) == expected
    assert prompt_tokens(checkpoint, "The sum?", say=FIFTY.encode()) == len(expected)
    assert asked(checkpoint, "-", say=FIFTY.encode()) == asked(checkpoint, FIFTY.strip())


@pytest.mark.parametrize("nothing", [None, b"", b" \n"])
def test_nothing_piped_adds_nothing(checkpoint: Path, nothing: bytes | None) -> None:
    assert asked(checkpoint, "Hello there", say=nothing) == asked(checkpoint, "-", say=b"Hello there")


def test_a_file_beside_an_argument_is_read_too(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text(FIFTY)
    with (tmp_path / "text").open() as file:
        command = [sys.executable, "-m", "tui", "next", "The sum?", "--json", "--model", str(checkpoint)]
        out = subprocess.run(command, env=ENVIRONMENT, stdin=file, capture_output=True, check=True, timeout=120).stdout
    assert json.loads(out)["prompt_ids"] == asked(checkpoint, f"{FIFTY}\nThe sum?")


@pytest.mark.parametrize("arguments", [("tokens", "a text"), ("next", "a text", "--raw")])
def test_where_a_text_is_looked_at_as_it_is_there_can_be_one(checkpoint: Path, arguments: tuple[str, ...]) -> None:
    code, out, errors = run(*arguments, "--model", str(checkpoint), say=b"another")
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "Leave one of them out." in errors


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_text(checkpoint: Path, encoding: str) -> None:
    plain = asked(checkpoint, "Hello é there")
    assert asked(checkpoint, say="Hello é there\n".encode(encoding)) == plain
    assert asked(checkpoint, "there", say="Hello é".encode(encoding)) == asked(checkpoint, "Hello é\n\nthere")
    assert asked(checkpoint, "\ufeffHello é there") == plain
    code, out, errors = run("tokens", "--json", "--model", str(checkpoint), say="Hello é".encode(encoding))
    assert (code, json.loads(out)["text"]) == (0, "Hello é"), errors


@pytest.mark.skipif(sys.platform == "win32", reason="there an argument is text and not bytes")
def test_a_byte_that_is_no_text_is_the_same_in_an_argument_and_in_a_pipe(checkpoint: Path) -> None:
    code, out, errors = run("tokens", "--json", "--model", str(checkpoint), b"a\xffb")
    assert code == 0, errors
    told = json.loads(out)
    assert told["text"] == "a\ufffdb"
    assert b"".join(bytes(token["bytes"]) for token in told["tokens"]).decode() == "a\ufffdb"
    assert told["tokens"] == json.loads(run("tokens", "--json", "--model", str(checkpoint), say=b"a\xffb")[1])["tokens"]
    assert asked(checkpoint, b"a\xffb") == asked(checkpoint, say=b"a\xffb")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_name_of_a_file_that_is_no_text_is_whole_characters_in_json(checkpoint: Path, tmp_path: Path) -> None:
    odd = os.fsencode(tmp_path) + b"/odd\xff"
    os.symlink(checkpoint, odd)
    code, out, errors = run("tokens", "Hi", "--json", "--model", odd)
    assert code == 0, errors
    assert "\\udcff" not in out
    assert json.loads(out)["model"].endswith("odd\ufffd")
    code, out, errors = run("models", "--json", "--folder", os.fsencode(tmp_path))
    assert code == 0, errors
    assert "\\udcff" not in out


def test_a_system_message_that_is_empty_takes_the_default_away(checkpoint: Path, tmp_path: Path) -> None:
    default = with_template(
        checkpoint,
        tmp_path,
        "{% if messages[0].role != 'system' %}The user is here. {% endif %}"
        "{% for m in messages %}{{ m.content }}{% endfor %}",
    )
    assert prompt_tokens(default, "Hello") > prompt_tokens(default, "Hello", "--system", "")


def test_a_system_message_without_a_place_is_told_once(checkpoint: Path, tmp_path: Path) -> None:
    folder = with_template(
        checkpoint, tmp_path, "{% for m in messages if m.role == 'user' %}{{ m.content }}{% endfor %}"
    )
    arguments = ("--max-tokens", "2", "--model", str(folder))
    for more in ((), ("--json",)):
        code, _, errors = run("ask", "Hello " * 40, "--system", "Be brief.", *more, *arguments)
        assert (code, errors.count("\n")) == (0, 1), errors
        assert errors.startswith("logitscope: ")
        assert "no place for a system message" in errors
    assert run("ask", "Hello", *arguments)[2] == ""
    assert prompt_tokens(folder, "Hello", "--system", "Be brief.") == prompt_tokens(folder, "Be brief.\nHello")


def test_a_template_that_loses_what_was_said_is_refused_with_what_helps(checkpoint: Path, tmp_path: Path) -> None:
    folder = with_template(checkpoint, tmp_path, "{% for m in messages %}[{{ m.role }}]{% endfor %}")
    code, out, errors = run("ask", "Hello", "--model", str(folder))
    assert (code, out, errors.count("\n")) == (2, "", 1)
    assert "leaves out what was said" in errors
    assert "--raw" not in errors, "which `ask` does not have"
    code, _, errors = run("next", "Hello", "--model", str(folder))
    assert code == 2
    assert "--raw" in errors
    assert run("next", "Hello", "--raw", "--model", str(folder))[0] == 0


def with_template(checkpoint: Path, tmp_path: Path, template: str) -> Path:
    """The same model with another chat template."""
    folder = tmp_path / "changed"
    folder.mkdir()
    for path in checkpoint.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    return folder
