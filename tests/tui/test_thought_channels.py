"""What everyone who shows a reply shows of it: a pipe, a terminal, the JSON, the chat, the next prompt."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from core.conversation import Message
from core.engine import Engine
from core.records import Finished, Prefill, Token, TokenRecord
from core.sampling.distribution import Distribution
from core.settings import Settings
from core.text.tokenizer import Tokenizer
from tests.support.tiny import CHATML, END, tiny_backend, tiny_model
from tests.tui.support.thoughts import REPLIES, Reply
from tui.cli.commands import _print_json, _Printer
from tui.controllers.live_reply import LiveReply
from tui.session.chat import Chat
from tui.widgets.transcript.transcript import Transcript

Event = Prefill | TokenRecord | Finished


def answered(tokenizer: Tokenizer, reply: Reply, *, whole_tags: bool, monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """The events of a reply in which every token is one byte, but for the tags if they are tokens of their own."""
    ids = tokens_of(tokenizer, reply.text, whole_tags=whole_tags)
    end = tokenizer.id_of(END)
    assert end is not None
    if not reply.cut and not reply.stopped:
        ids = [*ids, end]
    script = iter(ids)
    monkeypatch.setattr(Distribution, "draw", lambda self, uniform: next(script))
    template = CHATML.replace("assistant\n", "assistant\n<think>\n") if reply.opened else CHATML
    engine = Engine(tiny_model(tokenizer, template=template, end_ids=frozenset((end,))))
    settings = Settings(
        seed=1, max_tokens=None if reply.stopped else len(ids), stop=(reply.stop,) if reply.stop else ()
    )
    events: list[Event] = []

    def stopped() -> bool:
        return reply.stopped and sum(isinstance(event, Token) for event in events) == len(ids)

    for event in engine.reply((Message(role="user", text="Hi"),), lambda: settings, stopped, top=1):
        events.append(event)
    return events


def tokens_of(tokenizer: Tokenizer, text: str, *, whole_tags: bool) -> list[int]:
    bytes_of = {tokenizer.token_bytes(n): n for n in range(tokenizer.vocab_size)}
    ids: list[int] = []
    while text:
        tag = next((tag for tag in ("<think>", "</think>") if whole_tags and text.startswith(tag)), "")
        piece = tag or text[0]
        ids += [bytes_of[tag.encode()]] if tag else [bytes_of[bytes((byte,))] for byte in piece.encode()]
        text = text[len(piece) :]
    return ids


@pytest.fixture(scope="module", params=["spelled out", "tokens of their own"])
def vocabulary(request: pytest.FixtureRequest) -> tuple[Tokenizer, bool]:
    """A tokenizer, and whether it has tokens for the tags of a thought."""
    backend, whole_tags = tiny_backend(), request.param != "spelled out"
    if whole_tags:
        backend.add_tokens(["<think>", "</think>"])
    return Tokenizer(backend), whole_tags


@pytest.fixture(params=REPLIES.values(), ids=REPLIES.keys())
def reply(request: pytest.FixtureRequest) -> Reply:
    assert isinstance(request.param, Reply)
    return request.param


@pytest.fixture
def events(reply: Reply, vocabulary: tuple[Tokenizer, bool], monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    tokenizer, whole_tags = vocabulary
    return answered(tokenizer, reply, whole_tags=whole_tags, monkeypatch=monkeypatch)


def printed(events: list[Event], *, terminal: bool, thoughts: bool) -> str:
    class Out(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    out = Out()
    with contextlib.redirect_stdout(out):
        printer = _Printer(thoughts=thoughts)
        for event in events:
            printer(event)
    assert out.getvalue().endswith("\n")
    return out.getvalue()[:-1].replace("\x1b[22m\x1b[2m", "").replace("\x1b[2m", "(").replace("\x1b[22m", ")")


def test_a_pipe_and_a_terminal(reply: Reply, events: list[Event]) -> None:
    assert printed(events, terminal=False, thoughts=True) == reply.piped
    if not reply.stopped:  # which nobody can, but on the screen
        assert printed(events, terminal=False, thoughts=False) == reply.piped_answer
        assert printed(events, terminal=True, thoughts=True) == reply.terminal
        assert printed(events, terminal=True, thoughts=False) == reply.terminal_answer


def test_json_has_the_tags_and_marks_the_tokens(
    reply: Reply, events: list[Event], vocabulary: tuple[Tokenizer, bool]
) -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for event in events:
            _print_json(event)
    *tokens, last = [json.loads(line) for line in out.getvalue().splitlines()]
    assert "".join(token["text"] for token in tokens) == reply.piped
    assert last["text"] == (reply.text if reply.back is None else reply.back)
    spelled = b"".join(bytes(token["bytes"]) for token in tokens if token["thought"]).decode()
    if vocabulary[1] and reply.marked.startswith(">"):
        assert spelled == f"<think{reply.marked}"
    else:
        assert spelled == reply.marked
    assert last["thought_tokens"] == sum(token["thought"] for token in tokens)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        for event in events:
            _print_json(event, thoughts=False)
    *answering, last = [json.loads(line) for line in out.getvalue().splitlines()]
    assert answering == [token for token in tokens if not token["thought"]]
    end = events[-1]
    assert isinstance(end, Finished)
    assert last["text"] == end.shown.answer.lstrip("\n")


def drawn(events: list[Event]) -> tuple[Transcript, LiveReply]:
    """The chat, as the screen draws it after every event."""
    transcript = Transcript()
    transcript.unfold_all()
    live = LiveReply(transcript, "m")
    for event in events:
        if isinstance(event, Prefill) and event.thinking:
            live.open_thought()
        elif isinstance(event, Token):
            live.add(event)
            live.draw()
        elif isinstance(event, Finished):
            live.draw()
            live.replace(event.shown)
    return transcript, live


def rows(transcript: Transcript) -> tuple[str, ...]:
    (message,) = transcript._line_index.messages
    return tuple(row.plain for row in message.rows(60))


def test_the_chat(reply: Reply, events: list[Event]) -> None:
    transcript, live = drawn(events)
    live.end("")
    shown = rows(transcript)
    count = sum(event.channel == "thought" for event in events if isinstance(event, Token))
    assert shown[-1] == ""
    assert tuple(row.replace(f" for {count} tokens", "") for row in shown[1:-1]) == reply.chat


def test_the_next_prompt_is_told_all_of_it(reply: Reply, events: list[Event]) -> None:
    chat = Chat()
    chat.ask("Hi", Settings())
    for event in events:
        if isinstance(event, Token):
            chat.write(event)
    end = events[-1]
    assert isinstance(end, Finished)
    chat.finish(end)
    told = reply.text if reply.back is None else reply.back
    tokens = [event.id for event in events if isinstance(event, Token) and not event.ends]
    if not told:
        assert [message.role for message in chat.conversation] == ["user"]
    else:
        assert chat.conversation[1] == Message(
            role="assistant", text=told, ids=None if end.reason == "stop string" else tuple(tokens)
        )
