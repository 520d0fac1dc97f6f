"""What can be said on the command line, and what it asks for. Must not know torch, or what the commands do."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from core.errors import BadSetting
from core.setting_spec import SettingSpec
from core.setting_specs import SPECS
from core.settings import Settings
from tui.engines.protocol import Load
from tui.sanitize import whole_characters


@dataclass(frozen=True, kw_only=True)
class Options:
    """A parsed command line."""

    command: str | None
    load: Load
    settings: Settings
    given: Mapping[str, Any]  # of the settings, what the person said: the rest may be as the model's makers wish
    arguments: argparse.Namespace  # the command's own


class _Parser(argparse.ArgumentParser):
    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)  # "--top" must not be taken for --top-k or --top-p

    def _print_message(self, message: str, file: Any = None) -> None:
        """Argparse's own leaves out what cannot be written, and the command seems to have worked."""
        (file or sys.stderr).write(message)

    def error(self, message: str) -> NoReturn:
        raise BadSetting(f"{message[:1].upper()}{message[1:]}.", f"See {self.prog} --help.")


def parse(argv: Sequence[str]) -> Options:
    """Read a command line.

    Raises:
        BadSetting: it is wrong; the sentence says where.
    """
    given = vars(build_parser().parse_args(argv))
    settings = {name: given.pop(name) for name in SPECS if name in given}
    for name, value in settings.items():
        if SPECS[name].kind == "texts":
            settings[name] = tuple(map(whole_characters, value))
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
        settings=Settings(**settings),
        given=settings,
        arguments=argparse.Namespace(**given),
    )


def build_parser() -> argparse.ArgumentParser:
    """Everything that can be said on the command line."""
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
    ask.add_argument("prompt", nargs="?", help="what to say; what is piped in goes before it, or stands alone")
    ask.add_argument(
        "--system",
        metavar="S",
        help="a system message before it; an empty one takes away what the template says of itself",
    )
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
    for spec in SPECS.values():
        _add_setting(sampling, spec)


def _add_setting(group: argparse._ArgumentGroup, spec: SettingSpec) -> None:
    help_text = spec.flag_help
    if spec.default is not None and spec.default != ():
        help_text += f" ({spec.default:g})" if isinstance(spec.default, float) else f" ({spec.default})"
    match spec.kind:
        case "choice":
            group.add_argument(spec.flag, dest=spec.name, choices=spec.choices, help=help_text)
        case "texts":
            group.add_argument(spec.flag, dest=spec.name, action="append", metavar="TEXT", help=help_text)
        case "int":
            group.add_argument(spec.flag, dest=spec.name, type=int, metavar="N", help=help_text)
        case "float":
            group.add_argument(spec.flag, dest=spec.name, type=float, metavar="X", help=help_text)


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
