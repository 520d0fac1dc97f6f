"""The commands without a screen: ask, next, tokens, models, bench. Each runs the same engine, in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.conversation import Conversation, Message
from core.errors import BadSetting, BadTemplate, EmptyPrompt
from core.records import Finished, Prediction, Prefill, Shown, Token, TokenRecord
from core.settings import Settings
from core.text.prompt import prompt_ids
from tui.cli import tables
from tui.cli.bench_command import bench
from tui.cli.given_text import exact_text, message
from tui.cli.json_records import finished_record, json_line, next_record, token_record
from tui.cli.options import Options
from tui.engines.open_engine import open_engine
from tui.sanitize import visible, whole_characters

if TYPE_CHECKING:
    from core.engine import Engine


def ask(options: Options) -> None:
    """Stream the answer to one prompt."""
    prompt = message(options.arguments.prompt, "a prompt", 'logitscope ask "Tell me a joke."')
    if not prompt.strip():
        raise EmptyPrompt("The prompt is empty.", 'Say something, for example: logitscope ask "Tell me a joke."')
    conversation: Conversation = (Message(role="user", text=prompt),)
    if options.arguments.system is not None:  # an empty one takes the place of the template's own
        conversation = (Message(role="system", text=whole_characters(options.arguments.system)), *conversation)
    engine = engine_of(options)
    settings = _settings(options, engine)
    thoughts = not options.arguments.no_thoughts
    remarked: set[str] = set()
    if engine.model.template is None:
        print(f"logitscope: {visible(engine.model.name)} {tables.NO_TEMPLATE}", file=sys.stderr)
    if options.arguments.json:
        for record in engine.reply(conversation, lambda: settings, top=options.arguments.top):
            _remark(record, remarked)
            _print_json(record, thoughts=thoughts)
        return
    show = _Printer(thoughts=thoughts)
    for event in engine.tokens(conversation, lambda: settings):
        _remark(event, remarked)
        show(event)


def _remark(event: object, remarked: set[str]) -> None:
    """What the person should know of how the prompt was made, once."""
    if isinstance(event, Prefill):
        for remark in event.remarks:
            if remark not in remarked:
                print(f"logitscope: {visible(remark)}", file=sys.stderr)
        remarked.update(event.remarks)


def next_token(options: Options) -> None:
    """Show the distribution of the token after a text."""
    read = exact_text if options.arguments.raw else message
    text = read(options.arguments.text, "a text", 'logitscope next "Once upon a"')
    engine = engine_of(options, writes=False)
    tokenizer = engine.model.tokenizer
    if options.arguments.raw:
        ids = tokenizer.encode(text, add_special=True)
    else:
        try:
            ids = prompt_ids((Message(role="user", text=text),), engine.model.template, tokenizer)
        except BadTemplate as error:
            raise BadTemplate(error.message, "Feed the text as it is with --raw, or choose another model.") from error
    if not ids:
        raise EmptyPrompt("There is nothing to go on from: the text is empty.", "Give at least one character.")
    engine.read(ids)
    chosen, drawn, prediction = engine.inspect(len(ids), _settings(options, engine), top=options.arguments.top)
    prediction = _at_most(prediction, options.arguments.top)
    if options.arguments.json:
        print(json_line(next_record(engine.model.name, ids, prediction)))
    else:
        tables.show_prediction(engine.model.name, prediction, chosen=chosen, drawn=drawn)


def tokens(options: Options) -> None:
    """Show how a text is cut into tokens."""
    text = exact_text(options.arguments.text, "a text", 'logitscope tokens "Hello world"')
    from weights.text_side import load_tokenizer

    tokenizer = load_tokenizer(options.load.model)
    found = [
        {"id": i, "piece": tokenizer.piece(i), "text": tokenizer.token_text(i), "bytes": list(tokenizer.token_bytes(i))}
        for i in tokenizer.encode(text)
    ]
    if options.arguments.json:
        print(json_line({"model": options.load.model, "text": text, "tokens": found}))
    else:
        tables.show_tokens(found)


def models(options: Options) -> None:
    """List what can be opened, or fetch or remove a model."""
    if options.arguments.action is not None:
        from tui.cli.models_command import ACTIONS

        ACTIONS[options.arguments.action](options.arguments)
        return
    from core.backends.device import choose
    from weights.fit.available import available_memory
    from weights.library.listing import listing

    available = available_memory(*choose(options.load.device, options.load.dtype))
    entries = listing([_folder(text) for text in options.arguments.folder], available, options.load.context)
    if options.arguments.json:
        for entry in entries:
            print(json_line(asdict(entry) | {"device": available.device, "dtype": available.dtype}))
    else:
        tables.show_models(entries, available)


def _folder(text: str) -> Path:
    """A folder of models that the person names.

    Raises:
        BadSetting: there is none.
    """
    folder = Path(os.path.expanduser(text))
    if not folder.is_dir():
        raise BadSetting(f"{text!r} is not a directory.", "Name one that holds models with --folder.")
    return folder


def engine_of(options: Options, *, writes: bool = True) -> Engine:
    """The model the options name, ready to speak.

    Args:
        writes: several tokens, so that a draft has something to guess.
    """
    load = options.load if writes else replace(options.load, draft=None)
    opened = open_engine(load)
    if opened.draft_fallback_reason:
        print(f"logitscope: {visible(opened.draft_fallback_reason)}", file=sys.stderr)
    return opened.engine


def _settings(options: Options, engine: Engine) -> Settings:
    """What the person said, else what the model's makers recommend, else ours."""
    return Settings(**{**engine.model.sampling, **options.given})


class _Printer:
    """Prints a reply as it comes. A terminal shows thoughts dimmed; a pipe or file gets the text as it is.

    So does a terminal that knows no orders (TERM=dumb, as in an editor's shell), but for what it would obey.
    """

    def __init__(self, *, thoughts: bool) -> None:
        self._is_dumb = sys.stdout.isatty() and os.environ.get("TERM") == "dumb"
        self._on_terminal = sys.stdout.isatty()
        self._thoughts = thoughts
        self._answered = False

    def __call__(self, event: object) -> None:
        if isinstance(event, Token):
            if self._thoughts and (self._is_dumb or not self._on_terminal):
                print(visible(event.text) if self._is_dumb else event.text, end="", flush=True)
            else:
                self._print(event.shown)
        elif isinstance(event, Finished):
            print(flush=True)

    def _print(self, shown: Shown) -> None:
        if not self._on_terminal:
            thought, answer = "", shown.answer
        else:  # control characters would act
            thought, answer = visible(shown.thought) if self._thoughts else "", visible(shown.answer)
        if not self._thoughts and not self._answered:
            answer = answer.lstrip("\n")  # what stood between the thought and the answer
        self._answered = self._answered or bool(answer)
        dimmed = f"\x1b[2m{thought}\x1b[22m" if thought else ""
        if dimmed or answer:
            print(dimmed + answer, end="", flush=True)


def _print_json(event: object, *, thoughts: bool = True) -> None:
    if isinstance(event, TokenRecord) and (thoughts or event.channel != "thought"):
        print(json_line(token_record(event)), flush=True)
    elif isinstance(event, Finished):
        print(json_line(finished_record(event, thoughts=thoughts)), flush=True)


def _at_most(prediction: Prediction, top: int) -> Prediction:
    """Only the first `top` candidates; the others join the rest, so that the numbers still add up."""
    listed, others = prediction.candidates[:top], prediction.candidates[top:]
    count, raw, chained = prediction.rest_count, prediction.rest_raw_probability, prediction.rest_probability
    return replace(
        prediction,
        candidates=listed,
        rest_count=None if count is None else count + len(others),
        rest_raw_probability=None if raw is None else raw + sum(c.raw_probability for c in others),
        rest_probability=None if chained is None else chained + sum(c.probability for c in others),
    )


COMMANDS: dict[str, Callable[[Options], None]] = {
    "ask": ask,
    "next": next_token,
    "tokens": tokens,
    "models": models,
    "bench": lambda options: bench(engine_of(options), options.arguments),
}
