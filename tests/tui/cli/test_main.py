"""The commands as a shell runs them: a real process, real pipes."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from core.native.bindings import library

ROOT = Path(__file__).resolve().parents[3]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}


def start(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tui", *arguments]
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=ENVIRONMENT, text=True, **(pipes | options))


def run(*arguments: str, say: str | None = None) -> tuple[int, str, str]:
    process = start(*arguments, stdin=subprocess.PIPE)
    out, errors = process.communicate(say or "", timeout=120)
    return process.returncode, out, errors


def succeed(*arguments: str, say: str | None = None) -> str:
    code, out, errors = run(*arguments, say=say)
    assert code == 0, errors
    return out


@pytest.fixture(scope="module")
def folder(checkpoint: Path) -> str:
    return str(checkpoint)


def test_ask_streams_json_that_adds_up(folder: str) -> None:
    out = succeed(
        "ask", "Hello", "--json", "--model", folder, "--seed", "3", "--max-tokens", "6", "--temperature", "1.5"
    )
    *tokens, last = [json.loads(line) for line in out.splitlines()]
    assert len(tokens) == last["completion_tokens"] == 6
    assert last["done"] is True
    assert last["finish_reason"] == "length"
    assert "".join(token["text"] for token in tokens) == last["text"]
    assert [token["position"] for token in tokens] == list(range(last["prompt_tokens"], last["prompt_tokens"] + 6))
    for token in tokens:
        assert math.isclose(math.exp(token["logprob"]), token["probability"], rel_tol=1e-9)
        assert token["temperature"] == 1.5
        chosen = next(c for c in token["candidates"] if c["id"] == token["id"])
        assert chosen["kept"]
        assert chosen["raw_probability"] == token["probability"]
        assert chosen["probability"] == token["chain_probability"]
        for kind in ("raw_probability", "probability"):
            total = sum(c[kind] for c in token["candidates"]) + token["rest"][kind]
            assert math.isclose(total, 1, abs_tol=1e-9)


def test_the_same_seed_gives_the_same_text_also_from_a_pipe(folder: str) -> None:
    options = ("--model", folder, "--seed", "11", "--max-tokens", "12")
    assert succeed("ask", "Hello", *options) == succeed("ask", *options, say="Hello\n")
    assert succeed("ask", "Hello", *options) != succeed("ask", "Hello", *options[:3], "12", *options[4:])


def test_next_is_exact_over_the_whole_vocabulary(folder: str) -> None:
    record = json.loads(succeed("next", "The user", "--raw", "--json", "--top", "7", "--model", folder))
    assert set(record) >= {"model", "prompt_ids", "temperature", "entropy_bits", "candidates", "rest"}
    assert len(record["candidates"]) == 7
    assert record["rest"]["count"] == 360 - 7
    for kind in ("raw_probability", "probability"):
        total = sum(c[kind] for c in record["candidates"]) + record["rest"][kind]
        assert math.isclose(total, 1, abs_tol=1e-9)
    first = record["candidates"][0]
    assert set(first) == {
        "rank", "id", "text", "bytes", "logit", "raw_probability", "probability", "kept", "cut_by",
    }  # fmt: skip
    assert bytes(first["bytes"]).decode("utf-8", "replace") == first["text"]


def test_next_raw_reads_the_text_alone_and_the_template_adds_to_it(folder: str) -> None:
    raw = json.loads(succeed("next", "Hello", "--raw", "--json", "--model", folder))["prompt_ids"]
    chat = json.loads(succeed("next", "Hello", "--json", "--model", folder))["prompt_ids"]
    tokens = json.loads(succeed("tokens", "Hello", "--json", "--model", folder))["tokens"]
    assert raw == [token["id"] for token in tokens]
    assert len(chat) > len(raw)


def test_tables_are_for_people(folder: str) -> None:
    table = succeed("next", "The", "--raw", "--model", folder, "--top", "3", "--temperature", "0")
    assert "the other 357" in table
    assert "bits" in table
    assert "temperature" in table
    assert "48" in succeed("tokens", "H", "--model", folder)


def test_models_and_bench(folder: str) -> None:
    assert succeed("models")
    speed = json.loads(succeed("bench", "--json", "--model", folder, "--prompt-tokens", "8", "--new-tokens", "4"))
    assert speed["prefill_tokens_per_second"] > 0
    assert speed["decode_tokens_per_second"] > 0
    assert speed["decoding"] in ("C", "torch")
    assert (speed["decoding"] == "torch") == (speed["fallback_reason"] is not None)


@pytest.mark.skipif(library() is None, reason="guesses are for the C library, which is not built")
def test_a_draft_changes_no_answer_and_bench_tells_what_it_brings(folder: str) -> None:
    options = ("--model", folder, "--dtype", "float32", "--seed", "3", "--max-tokens", "60")
    alone, drafted = (succeed("ask", "Hello", "--json", *options, *more) for more in ((), ("--draft", "int4")))
    fields = ("id", "candidates", "probability", "drawn")
    for one, other in zip(alone.splitlines()[:-1], drafted.splitlines()[:-1], strict=True):
        assert [json.loads(one)[name] for name in fields] == [json.loads(other)[name] for name in fields]
    bench = ("bench", "--model", folder, "--dtype", "float32", "--draft", "int4", "--prompt-tokens", "8")
    speed = json.loads(succeed(*bench, "--new-tokens", "40", "--json"))
    assert speed["draft"].endswith(" in int4")
    assert speed["drafted_tokens_per_second"] > 0
    assert 0 <= speed["right_guesses"] <= speed["guesses"]
    assert "guesses right" in succeed(*bench)
    assert "drafted" not in succeed("bench", "--model", folder, "--prompt-tokens", "8", "--new-tokens", "4")


def test_where_a_draft_is_of_no_use_that_is_said_beside_the_answer(folder: str) -> None:
    code, out, errors = run(
        "ask", "hi", "--model", folder, "--dtype", "float16", "--draft", "int4", "--max-tokens", "2"
    )
    assert (code, errors.count("\n")) == (0, 1)
    assert out.strip()
    assert errors.startswith("logitscope: int4 does not draft for ")
    assert "decoding in C" in errors
    assert run("next", "hi", "--model", folder, "--draft", "textbook")[0] == 0, "one token is no work for a draft"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("ask", "hi", "--temperature", "-1"), "-1"),
        (("ask", "hi", "--temperature", "nan"), "nan"),
        (("ask", "hi", "--temperature", "inf"), "inf"),
        (("ask", "hi", "--temperature", "warm"), "warm"),
        (("ask", "hi", "--top-k", "-3"), "-3"),
        (("ask", "hi", "--top-p", "1.5"), "1.5"),
        (("ask", "hi", "--min-p", "2"), "2"),
        (("ask", "hi", "--repeat-penalty", "0"), "0"),
        (("ask", "hi", "--seed", "-1"), "-1"),
        (("ask", "hi", "--seed", "18446744073709551616"), "18446744073709551616"),
        (("ask", "hi", "--max-tokens", "0"), "0"),
        (("ask", "hi", "--context", "1"), "1"),
        (("ask", "hi", "--context", "99999"), "99999"),
        (("ask", "hi", "--device", "tpu"), "tpu"),
        (("ask", "hi", "--dtype", "int3"), "int3"),
        (("ask", "hi", "--stop", ""), "empty"),
        (("ask", "hi", "--dtype", "float32", "--draft", "textbook"), "textbook cannot draft for tiny0: token 1 is "),
        (("ask", "hi", "--draft", "no/such"), "no/such"),
        (("ask", "hi", "--draft", "int4", "--no-speculation"), "--no-speculation"),
        (("bench", "--quantize", "int4", "--draft", "int4"), "cannot draft"),
        (("ask", "  "), "empty"),
        (("ask",), "empty"),
        (("ask", "hi", "--top", "0"), "0"),
        (("ask", "hi", "--order", "mine"), "mine"),
        (("ask", "word " * 500), "context"),
        (("next", "", "--raw"), "empty"),
        (("bench", "--new-tokens", "100000"), "100000"),
        (("dance",), "dance"),
        (("ask", "hi", "--dance"), "--dance"),
        ((), "terminal"),
    ],
)
def test_bad_input_is_one_sentence_with_the_value_and_code_2(
    folder: str, arguments: tuple[str, ...], named: str
) -> None:
    code, out, errors = run(*arguments, *(("--model", folder) if arguments[:1] != ("dance",) else ()))
    assert code == 2, errors
    assert out == ""
    assert named in errors
    assert errors.startswith("logitscope: ")
    assert errors.count("\n") == 1, "one line"


def test_a_model_that_is_not_there() -> None:
    code, _, errors = run("ask", "hi", "--model", "no/such")
    assert (code, errors.count("\n")) == (2, 1)
    assert "no/such" in errors


def test_a_broken_pipe_is_quiet(folder: str) -> None:
    process = start("ask", "hi", "--json", "--model", folder, "--max-tokens", "200")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(60) == 141


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_stops_with_130_and_a_newline(folder: str, tmp_path: Path) -> None:
    talkative = tmp_path / "talkative"  # has room to be speaking still when the signal comes, however busy the machine
    shutil.copytree(folder, talkative)
    config = json.loads((talkative / "config.json").read_text())
    config["transformer"]["context_length"] = 20_000
    (talkative / "config.json").write_text(json.dumps(config))
    # A program started from a shell's background is told to be deaf to it; this one is to hear.
    hears = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    process = start("ask", "hi", "--model", str(talkative), "--temperature", "1", bufsize=0, preexec_fn=hears)
    assert process.stdout is not None
    first = os.read(process.stdout.fileno(), 1)
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (first.decode() + rest).endswith("\n")
    assert errors == ""


def test_a_folder_called_core_where_one_stands_is_not_taken_for_ours(tmp_path: Path, folder: str) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit('the wrong core')")
    code = "import sys; sys.path.pop(0); from tui.__main__ import main; sys.argv = sys.argv[1:]; main()"
    command = [sys.executable, "-c", code, "logitscope", "tokens", "a", "--model", folder]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_models_own_settings_are_used_where_nothing_else_is_said(folder: str, tmp_path: Path) -> None:
    own = tmp_path / "own"
    shutil.copytree(folder, own)
    (own / "generation_config.json").write_text(json.dumps({"do_sample": True, "temperature": 0.25, "top_k": 3}))
    record = json.loads(succeed("next", "The user", "--raw", "--json", "--model", str(own)))
    assert record["temperature"] == 0.25
    assert sum(candidate["kept"] for candidate in record["candidates"]) <= 3
    told = succeed("next", "The user", "--raw", "--json", "--model", str(own), "--temperature", "0.8", "--top-k", "9")
    assert json.loads(told)["temperature"] == 0.8, "which is our own, but was asked for"


def test_a_thought_is_marked_and_can_be_left_out(folder: str, tmp_path: Path) -> None:
    thinking = tmp_path / "thinking"
    shutil.copytree(folder, thinking)
    opens = {"chat_template": "{{ messages[0].content }}\n<think>\n"}
    (thinking / "tokenizer_config.json").write_text(json.dumps(opens))
    options = ("--model", str(thinking), "--seed", "3", "--max-tokens", "6")
    *tokens, last = [json.loads(line) for line in succeed("ask", "Hello", "--json", *options).splitlines()]
    assert [token["thought"] for token in tokens] == [True] * 6
    assert last["thought_tokens"] == 6
    assert succeed("ask", "Hello", *options).strip() == last["text"].strip()
    assert succeed("ask", "Hello", "--no-thoughts", *options).strip() == ""
    *tokens, last = [json.loads(x) for x in succeed("ask", "Hello", "--json", "--no-thoughts", *options).splitlines()]
    assert (tokens, last["text"], last["thought_tokens"]) == ([], "", 6)


def test_a_model_without_a_template_says_what_that_means(folder: str) -> None:
    code, out, errors = run("ask", "Once upon a", "--model", "textbook", "--max-tokens", "3", "--temperature", "0")
    assert (code, bool(out.strip())) == (0, True), errors
    assert errors == (
        "logitscope: textbook has no chat template that can be used here: "
        "it continues the text it is given, and does not answer.\n"
    )
    code, _, errors = run("ask", "Hello", "--model", folder, "--max-tokens", "3")
    assert (code, errors) == (0, "")
