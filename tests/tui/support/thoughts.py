"""Replies with thoughts in all their forms, and what is seen of each by everyone who shows it."""

from __future__ import annotations

from dataclasses import dataclass


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


REPLIES: dict[str, Reply] = {
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
