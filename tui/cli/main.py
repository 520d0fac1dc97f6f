"""The command line: what can be asked for, said once, and how errors and interruptions end. Must not know torch."""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from core.errors import BadSetting, LogitscopeError
from core.settings import ORDERS, Settings
from tui.engines.protocol import Load
from weights.library.paths import compiled_folder

USAGE_ERROR, INTERRUPTED, BROKEN_PIPE = 2, 130, 141  # the shell's own numbers


@dataclass(frozen=True, kw_only=True)
class Options:
    """A parsed command line."""

    command: str | None
    load: Load
    settings: Settings
    given: Mapping[str, Any]  # of the settings, what the person said: the rest may be as the model's makers wish
    arguments: argparse.Namespace  # the command's own


def run(argv: Sequence[str]) -> int:
    """Do what the command line asks. Returns the exit code."""
    # Torch's threads look for work for 15 ms before they sleep, and are in the way of those that decode meanwhile. The
    # library that they come from reads this when torch is loaded, in this process or in the engine's.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    for stream in (sys.stdout, sys.stderr):  # a terminal that cannot show a character shows ?, and does not fail
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        options = parse(argv)
        if options.load.compiled:  # torch reads this, in this process or in the engine's: what is compiled stays
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(compiled_folder()))
        if options.command is None:
            from tui.start import start

            return start(options.load, options.given)
        from tui.cli.commands import COMMANDS

        gc.enable()
        COMMANDS[options.command](options)
        sys.stdout.flush()
    except LogitscopeError as error:
        return _complain(str(error))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains at its end
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print(flush=True)
        return INTERRUPTED
    return 0


def _complain(sentence: str) -> int:
    print(f"logitscope: {sentence}", file=sys.stderr)
    return USAGE_ERROR


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)  # "--top" must not be taken for --top-k or --top-p

    def error(self, message: str) -> NoReturn:
        raise BadSetting(f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")


def parse(argv: Sequence[str]) -> Options:
    """Read a command line.

    Raises:
        BadSetting: it is wrong; the sentence says where.
    """
    given = vars(_parser().parse_args(argv))
    names = {field: given.pop(field) for field in Settings.__dataclass_fields__ if given.get(field) is not None}
    if "stop" in names:
        names["stop"] = tuple(names["stop"])
    if given.get("context") is not None and given["context"] < 2:
        raise BadSetting(
            f"--context must be at least 2 tokens, not {given['context']}.", "Leave it out for all there is."
        )
    if given.get("draft") is not None and given.get("no_speculation"):
        raise BadSetting(
            f"--draft {given['draft']} guesses tokens, and --no-speculation forbids it.", "Leave out one of them."
        )
    load = Load(
        model=given.get("model") or "bundled",
        device=given.get("device"),
        dtype=given.get("dtype"),
        context=given.get("context"),
        quantize=given.get("quantize"),
        speculate=not given.get("no_speculation", False),
        compiled=given.get("compile", False),
        draft=given.get("draft"),
    )
    return Options(
        command=given.get("command"),
        load=load,
        settings=Settings(**names),
        given=names,
        arguments=argparse.Namespace(**given),
    )


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    _add_common(common)
    parser = _Parser(
        prog="logitscope",
        description="Chat with a language model in your terminal, and watch it choose every word.",
        epilog="Without a command it opens the chat.",
        parents=[common],
    )
    parser.add_argument("--version", action=_Version, help="show program's version number and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, summary: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=summary, description=summary, parents=[common])

    ask = command("ask", "Answer one prompt, streamed to standard output.")
    ask.add_argument("prompt", nargs="?", help="what to say; left out, it is read from standard input")
    ask.add_argument("--system", metavar="S", help="a system message before it")
    ask.add_argument("--no-thoughts", action="store_true", help="leave out what a model thinks before it answers")
    ask.add_argument("--json", action="store_true", help="one JSON object a line per token, and one at the end")
    ask.add_argument("--top", type=_count, default=20, metavar="N", help="candidates per token in the JSON (20)")

    following = command("next", "Show the next-token distribution after a text.")
    following.add_argument("text", nargs="?", help="the text; left out, it is read from standard input")
    following.add_argument("--top", type=_count, default=20, metavar="N", help="candidates to show one by one (20)")
    following.add_argument("--raw", action="store_true", help="feed the text as it is, without the chat template")
    following.add_argument("--json", action="store_true", help="one JSON object")

    tokens = command("tokens", "Show how a text is cut into tokens.")
    tokens.add_argument("text", nargs="?", help="the text; left out, it is read from standard input")
    tokens.add_argument("--json", action="store_true", help="one JSON object")

    models = command("models", "List the models on this machine; fetch one; remove one.")
    _add_models(models, common)

    bench = command("bench", "Measure prefill and decoding in tokens per second.")
    bench.add_argument("--prompt-tokens", type=_count, default=256, metavar="N", help="tokens to read (256)")
    bench.add_argument("--new-tokens", type=_count, default=128, metavar="N", help="tokens to write (128)")
    bench.add_argument("--repeat", type=_count, default=3, metavar="N", help="how often; the median is shown (3)")
    bench.add_argument("--json", action="store_true", help="one JSON object")
    return parser


def _add_models(models: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    models.add_argument("--json", action="store_true", help="one JSON object a line per model")
    models.add_argument(
        "--folder", action="append", default=[], metavar="DIRECTORY", help="list the models in it too; repeatable"
    )
    actions = models.add_subparsers(dest="action", metavar="ACTION", parser_class=_Parser)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, help=summary, description=summary)

    pull = action("pull", "Fetch a model of the Hugging Face hub, or go on with fetching it.")
    pull.add_argument("model", metavar="OWNER/NAME[:FILE.gguf]", help="a checkpoint in safetensors, or one GGUF file")
    remove = action("remove", "Remove a model that was fetched.")
    remove.add_argument("model", metavar="NAME", help="as in the listing")
    remove.add_argument("--yes", action="store_true", help="do not ask")


def _add_common(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", metavar="NAME_OR_PATH", help="a name (see logitscope models), a directory or a GGUF file (bundled)"
    )
    model.add_argument("--device", help="auto, cuda, mps, xpu or cpu")
    model.add_argument("--dtype", help="auto, float32, bfloat16 or float16")
    model.add_argument("--context", type=int, metavar="N", help="tokens of context to use at most")
    model.add_argument(
        "--quantize",
        metavar="FORMAT",
        help="hold the weights in 8 or 4 bits: none, int8, int4, or auto for the first of these that fits in memory; "
        "left out, as the model is stored",
    )
    model.add_argument(
        "--no-speculation",
        action="store_true",
        help="do not read guessed tokens ahead (which makes repetitions faster and changes nothing else)",
    )
    model.add_argument(
        "--compile",
        action="store_true",
        help="on a CUDA GPU, have the work for a token fused by torch's compiler, in the background; slow at first",
    )
    model.add_argument(
        "--draft",
        metavar="NAME_OR_PATH",
        help="guess with a smaller model of the same vocabulary, or, if it is int4 or int8, with the model itself in "
        "fewer bits (which makes writing faster where that pays and changes nothing else)",
    )
    sampling = parser.add_argument_group("sampling")
    for flag, kind, text in (
        ("--temperature", float, "0 takes the likeliest token, 1 is the model as trained (0.8)"),
        ("--top-k", int, "keep the k likeliest tokens; 0 is off (40)"),
        ("--top-p", float, "keep the likeliest tokens up to this mass; 1 is off (0.95)"),
        ("--min-p", float, "keep tokens at least this share as likely as the likeliest; 0 is off (0.05)"),
        ("--typical-p", float, "keep the tokens of most typical surprise up to this mass; 1 is off (1)"),
        ("--repeat-penalty", float, "make tokens of the recent past less likely; 1 is off (1)"),
        ("--presence-penalty", float, "subtract once from tokens that occurred; 0 is off (0)"),
        ("--frequency-penalty", float, "subtract for every time a token occurred; 0 is off (0)"),
        ("--penalty-window", int, "how many of the last tokens are penalised; -1 is all (64)"),
        ("--seed", int, "the same seed gives the same text; left out, a new one each time"),
        ("--max-tokens", int, "write at most this many tokens"),
    ):
        name = "repetition_penalty" if flag == "--repeat-penalty" else flag[2:].replace("-", "_")
        sampling.add_argument(flag, type=kind, dest=name, metavar="N" if kind is int else "X", help=text)
    sampling.add_argument("--order", choices=ORDERS, help="whose order the samplers run in (llama.cpp)")
    sampling.add_argument("--stop", action="append", metavar="TEXT", help="end the answer before this text; repeatable")


def _count(text: str) -> int:
    """A whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


_count.__name__ = "whole number"  # argparse names the type in its message


class _Version(argparse.Action):
    """Looks the version up when it is asked for: that takes longer than reading the rest of a command line."""

    def __init__(self, option_strings: Sequence[str], dest: str, **options: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(f"logitscope {_version()}")
        parser.exit()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("logitscope")
    except PackageNotFoundError:
        return "(not installed)"
