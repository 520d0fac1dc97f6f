"""What everyone who shows a reply shows of it: a pipe, a terminal, the JSON, the chat, the next prompt."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass

import pytest

from core.conversation import Message
from core.engine import Engine
from core.records import Finished, Prefill, Token, TokenRecord
from core.sampling.distribution import Distribution
from core.settings import Settings
from core.text.tokenizer import Tokenizer
from tests.support.tiny import CHATML, END, tiny_backend, tiny_model
from tui.cli.commands import _print_json, _Printer
from tui.controllers.live_reply import LiveReply
from tui.session.chat import Chat
from tui.widgets.transcript.transcript import Transcript

Event = Prefill | TokenRecord | Finished


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a model writes, and what is seen of it."""

    text: str
    opened: bool = False  # the prompt ends inside a thought
    cut: bool = False  # by the token limit, instead of an end of turn
    stopped: bool = False  # by the person, after the last character
    stop: str = ""
    piped: str
    piped_answer: str  # without thoughts
    terminal: str
    terminal_answer: str
    marked: str  # the text of the tokens that the JSON calls thoughts; of a spelled-out opening tag its last
    chat: tuple[str, ...]  # with the thought unfolded
    back: str | None = None  # what the next prompt is told; None: all of the text


REPLIES = {
    "an answer alone": Reply(
        text="Yes.",
        piped="Yes.",
        piped_answer="Yes.",
        terminal="Yes.",
        terminal_answer="Yes.",
        marked="",
        chat=("Yes.",),
    ),
    "a thought and an answer": Reply(
        text="<think>\nHm, *so*.\n</think>\n\nYes.",
        piped="<think>\nHm, *so*.\n</think>\n\nYes.",
        piped_answer="Yes.",
        terminal="(\nHm, *so*.\n)\n\nYes.",
        terminal_answer="Yes.",
        marked=">\nHm, *so*.\n</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm, *so*.", "", "Yes."),
    ),
    "whitespace before the tag": Reply(
        text=" \n<think>Hm</think> Yes.",
        piped=" \n<think>Hm</think> Yes.",
        piped_answer=" Yes.",
        terminal="(Hm) Yes.",
        terminal_answer=" Yes.",
        marked=">Hm</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm", "", "Yes."),
    ),
    "opened by the prompt": Reply(
        text="Hm\n</think>\n\nYes.",
        opened=True,
        piped="Hm\n</think>\n\nYes.",
        piped_answer="Yes.",
        terminal="(Hm\n)\n\nYes.",
        terminal_answer="Yes.",
        marked="Hm\n</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm", "", "Yes."),
    ),
    "an empty thought": Reply(
        text="<think>\n\n</think>\n\nYes.",
        piped="<think>\n\n</think>\n\nYes.",
        piped_answer="Yes.",
        terminal="(\n\n)\n\nYes.",
        terminal_answer="Yes.",
        marked=">\n\n</think>",
        chat=("Yes.",),
    ),
    "text before a tag": Reply(
        text="So <think>Hm</think> Yes.",
        piped="So <think>Hm</think> Yes.",
        piped_answer="So <think>Hm</think> Yes.",
        terminal="So <think>Hm</think> Yes.",
        terminal_answer="So <think>Hm</think> Yes.",
        marked="",
        chat=("So <think>Hm</think> Yes.",),
    ),
    "a tag mentioned later": Reply(
        text="<think>Hm</think>A <think> is </think> a tag.",
        piped="<think>Hm</think>A <think> is </think> a tag.",
        piped_answer="A <think> is </think> a tag.",
        terminal="(Hm)A <think> is </think> a tag.",
        terminal_answer="A <think> is </think> a tag.",
        marked=">Hm</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm", "", "A <think> is </think> a tag."),
    ),
    "a thought that mentions a tag": Reply(
        text="<think>a <think> b</think>Yes.",
        piped="<think>a <think> b</think>Yes.",
        piped_answer="Yes.",
        terminal="(a <think> b)Yes.",
        terminal_answer="Yes.",
        marked=">a <think> b</think>",
        chat=("▾ thought  Ctrl+T folds", "│ a <think> b", "", "Yes."),
    ),
    "half an opening tag": Reply(
        text="<thi",
        piped="<thi",
        piped_answer="<thi",
        terminal="<thi",
        terminal_answer="<thi",
        marked="",
        chat=("<thi",),
    ),
    "half an opening tag cut": Reply(
        text=" <thi",
        cut=True,
        piped=" <thi",
        piped_answer=" <thi",
        terminal=" <thi",
        terminal_answer=" <thi",
        marked="",
        chat=("<thi",),
    ),
    "half a closing tag": Reply(
        text="<think>Hm </thi",
        piped="<think>Hm </thi",
        piped_answer="",
        terminal="(Hm </thi)",
        terminal_answer="",
        marked=">Hm </thi",
        chat=("▾ thought  Ctrl+T folds", "│ Hm </thi"),
    ),
    "half a closing tag cut": Reply(
        text="<think>Hm </thi",
        cut=True,
        piped="<think>Hm </thi",
        piped_answer="",
        terminal="(Hm </thi)",
        terminal_answer="",
        marked=">Hm </thi",
        chat=("▾ thought  Ctrl+T folds", "│ Hm </thi"),
    ),
    "never closed": Reply(
        text="<think>Hm",
        cut=True,
        piped="<think>Hm",
        piped_answer="",
        terminal="(Hm)",
        terminal_answer="",
        marked=">Hm",
        chat=("▾ thought  Ctrl+T folds", "│ Hm"),
    ),
    "nothing but an opening tag": Reply(
        text="<think>",
        cut=True,
        piped="<think>",
        piped_answer="",
        terminal="",
        terminal_answer="",
        marked=">",
        chat=("▾ thought  Ctrl+T folds",),
    ),
    "cut behind an empty thought": Reply(
        text="<think>\n</think>",
        cut=True,
        piped="<think>\n</think>",
        piped_answer="",
        terminal="(\n)",
        terminal_answer="",
        marked=">\n</think>",
        chat=(),
    ),
    "stopped in half a tag": Reply(
        text="<think>Hm </th",
        stopped=True,
        piped="<think>Hm </th",
        piped_answer="",
        terminal="(Hm </th)",
        terminal_answer="",
        marked=">Hm </th",
        chat=("▾ thought  Ctrl+T folds", "│ Hm </th"),
    ),
    "stopped in half a stop string": Reply(
        text="<think>Hm</think>Yes. ST",
        stopped=True,
        stop="STOP",
        piped="<think>Hm</think>Yes. ",
        piped_answer="Yes. ",
        terminal="(Hm)Yes. ",
        terminal_answer="Yes. ",
        marked=">Hm</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm", "", "Yes. ST"),
    ),
    "stopped before half a tag became one": Reply(
        text="<thi",
        stopped=True,
        piped="<thi",
        piped_answer="<thi",
        terminal="<thi",
        terminal_answer="<thi",
        marked="",
        chat=("<thi",),
    ),
    "ended by a stop string": Reply(
        text="<think>Hm</think>Yes.STOP",
        stop="STOP",
        piped="<think>Hm</think>Yes.",
        piped_answer="Yes.",
        terminal="(Hm)Yes.",
        terminal_answer="Yes.",
        marked=">Hm</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm", "", "Yes."),
        back="<think>Hm</think>Yes.",
    ),
    "ended by a stop string in half a tag": Reply(
        text="<think>Hm</thSTOP",
        stop="STOP",
        piped="<think>Hm</th",
        piped_answer="",
        terminal="(Hm</th)",
        terminal_answer="",
        marked=">Hm</thSTOP",
        chat=("▾ thought  Ctrl+T folds", "│ Hm</th"),
        back="<think>Hm</th",
    ),
    "ended by its closing tag": Reply(
        text="<think>Hm</think>",
        stop="</think>",
        piped="<think>Hm",
        piped_answer="",
        terminal="(Hm)",
        terminal_answer="",
        marked=">Hm</think>",
        chat=("▾ thought  Ctrl+T folds", "│ Hm"),
        back="<think>Hm",
    ),
    "control characters": Reply(
        text="<think>\x1b[2J\r\nHm</think>\x9b2J\rYes.",
        piped="<think>\x1b[2J\r\nHm</think>\x9b2J\rYes.",
        piped_answer="\x9b2J\rYes.",
        terminal="(␛[2J\n\nHm)⟨9B⟩2J\nYes.",
        terminal_answer="⟨9B⟩2J\nYes.",
        marked=">\x1b[2J\r\nHm</think>",
        chat=("▾ thought  Ctrl+T folds", "│ ␛[2J", "│ Hm", "", "⟨9B⟩2J Yes."),
    ),
    "nothing": Reply(text="", piped="", piped_answer="", terminal="", terminal_answer="", marked="", chat=()),
}


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
