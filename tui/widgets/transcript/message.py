"""One message of the transcript: its text as it grows, and the rows it takes. Must not know the screen.

Rows are made only when asked for, so a thousand messages cost what is in view of them; till then heights are guesses.
"""

from __future__ import annotations

from typing import Literal

from textual.content import Content

from core.conversation import Role
from tui.sanitize import VisibleStream, visible
from tui.widgets.transcript.markdown import parse
from tui.widgets.transcript.markdown_stream import MarkdownStream
from tui.widgets.transcript.rows import EMPTY, Block, Lead, Paragraph, Row

Level = Literal["info", "warning", "error"]

_NAMES = {"user": "You", "system": "System"}
_HEADINGS = {"user": "bold $text-accent", "assistant": "bold $text-primary", "system": "bold $text-secondary"}
_FADED = "$foreground 60%"
_NOTES = {"info": ("· ", "$foreground 60%"), "warning": ("▲ ", "$text-warning"), "error": ("✖ ", "$text-error")}


class TranscriptMessage:
    """A message of the conversation, or a note from the program itself.

    What the assistant says is Markdown, after what it thinks, which is folded to one line; everything else is shown as
    it was written.
    """

    def __init__(self, role: Role | Literal["note"], text: str, *, name: str = "", level: Level = "info") -> None:
        self.role = role
        self._name = visible(name) or _NAMES.get(role, "Assistant")
        self._level = level
        self._suffix = ""
        self._unfolded = False
        self._thought_tokens = 0
        self._is_done = False
        self._begin(text)

    def _begin(self, text: str, thought: str = "", *, thinking: bool = False) -> None:
        self._parts, self._thought_parts = [""], [""]
        self._thinking = False  # what comes next belongs to the thought
        self._length = self._n_lines = 0
        self._shown: list[str] = []  # what of it can be shown, while there is no one to show it to
        self._thought = ""
        self._fold: int | None = None  # the row on which a click unfolds the thought
        self._answer_from = 1  # the row on which the answer begins
        self._visible, self._visible_thought = VisibleStream(), VisibleStream()
        self._blocks = MarkdownStream()
        self._closed: list[list[Block]] = []  # parsed once
        self._width = 0
        self._rows: list[Row] = []
        self._fixed = 0  # how many of the rows will not change any more at this width
        self._placed = 0  # how many closed blocks these are
        self._fresh = True
        self.append(text, thought=thought, thinking=thinking)

    @property
    def text(self) -> str:
        """What was said, unchanged; what was thought before is not part of it."""
        return _joined(self._parts)

    def append(self, text: str, *, thought: str = "", thinking: bool = False) -> None:
        """More of it.

        Args:
            thought: more of what came before the text.
            thinking: the thought is still open.
        """
        if thought or thinking != self._thinking:
            self._lay_out_anew()
        self._parts.append(text)
        self._thought_parts.append(thought)
        self._thinking = thinking
        self._take(text, thought)

    def replace(self, text: str, *, thought: str = "", thinking: bool = False) -> None:
        """This is the whole of it."""
        if (text, thought, thinking) != (self.text, _joined(self._thought_parts), self._thinking):
            self._begin(text, thought, thinking=thinking)

    def rename(self, name: str) -> None:
        self._name = visible(name)
        self._lay_out_anew()

    # --- what it thinks -----------------------------------------------------------------------------------------------

    @property
    def thought(self) -> str:
        """What came before the answer, as it is shown."""
        return self._thought

    def count_thought(self, tokens: int) -> bool:
        """So many tokens long is the thought by now. Whether that is news."""
        if tokens == self._thought_tokens:
            return False
        self._thought_tokens = tokens
        self._lay_out_anew()
        return True

    def unfold(self, unfolded: bool) -> None:
        """Show the thought, or fold it."""
        self._unfolded = unfolded
        if self._fold is not None:
            self._lay_out_anew()

    def is_fold(self, row: int) -> bool:
        """Whether a click on this row folds or unfolds the thought."""
        return row == self._fold

    @property
    def is_unfolded(self) -> bool:
        return self._unfolded

    # --- as it grows --------------------------------------------------------------------------------------------------

    def finish(self, suffix: str) -> None:
        """Nothing more is coming."""
        self._is_done = True
        if self._thinking:
            self._lay_out_anew()  # it does not think any more
        self._suffix = visible(suffix)
        self._take("", "", last=True)

    def has_rows(self, width: int) -> bool:
        """Whether the height is no guess, but that of the rows it has at this width, or had before its text grew."""
        return self._width == width

    def is_laid(self, width: int) -> bool:
        """Whether all of its rows are made."""
        return self._width == width and not self._fresh

    def height(self, width: int) -> int:
        if self.has_rows(width):
            return len(self._rows)
        return 3 + self._n_lines + self._length // max(width, 1)

    def rows(self, width: int) -> list[Row]:
        """All rows at this width. The list is kept and changed by the next call."""
        if not self.is_laid(width):
            if self._width != width:
                self._width, self._rows, self._fixed, self._placed = width, [], 0, 0
            first, before = self._fixed, self._rows[self._fixed :]
            del self._rows[first:]
            self._lay_out()
            for at, (new, old) in enumerate(zip(self._rows[first:], before, strict=False), start=first):
                if new.is_same(old):
                    self._rows[at] = old  # what is drawn of it is known
            self._fresh = False
        return self._rows

    @property
    def body(self) -> range:
        """Which of the rows hold what was said, as last laid out."""
        first = 0 if self.role == "note" else self._answer_from
        return range(first, max(first + 1, len(self._rows) - 1 - bool(self._suffix)))

    def _take(self, text: str, thought: str, *, last: bool = False) -> None:
        self._thought += self._visible_thought.push(thought, last=last or bool(text))
        shown = self._visible.push(text, last=last)
        self._shown.append(shown)
        self._length += len(shown)
        self._n_lines += shown.count("\n")
        self._fresh = True

    def _lay_out_anew(self) -> None:
        """Also what was thought not to change any more; the height stays that of the old rows until then."""
        self._fixed = self._placed = 0
        self._fresh = True

    def _lay_out(self) -> None:
        if self.role == "note":
            sign, style = _NOTES[self._level]
            self._place(self._plain(style, Lead(Content.styled(sign, style), Content("  "))))
        elif self.role == "assistant":
            self._place_markdown()
        else:
            self._place_heading()
            self._place(self._plain())
        if self._suffix:
            self._place([Paragraph(Content.styled(self._suffix, "$foreground 60% italic"))])
        self._rows.append(Row(EMPTY))

    def _plain(self, style: str = "", lead: Lead | None = None) -> list[Block]:
        self._shown = ["".join(self._shown)]
        return [Paragraph(Content.styled(self._shown[0].expandtabs(4), style), lead)]

    def _place_markdown(self) -> None:
        """Closed blocks are parsed once and broken into rows once for a width; only the open one is redone."""
        if not self._fixed:
            self._place_heading()
            self._place_thought()
        self._blocks.append("".join(self._shown))
        self._shown = []
        self._closed.extend(parse(source) for source in self._blocks.closed[len(self._closed) :])
        for blocks in self._closed[self._placed :]:
            self._place_apart(blocks)
        self._placed = len(self._closed)
        self._fixed = len(self._rows)
        self._place_apart(parse(self._blocks.open))

    def _place_heading(self) -> None:
        self._place([Paragraph(Content.styled(self._name, _HEADINGS[self.role]))])

    def _place_thought(self) -> None:
        """Nothing where it is empty: a model that was told not to think says so with an empty one."""
        self._answer_from, self._fold = 1, None
        thought = self._thought.strip()
        if not thought and not self._thinking:
            return
        self._fold = len(self._rows)
        said = "thinking" if self._thinking and not self._is_done else "thought"
        count = f" for {self._thought_tokens:,} tokens" if self._thought_tokens else ""
        sign, hint = ("▾", "folds") if self._unfolded else ("▸", "unfolds")
        line = Content.styled(f"{sign} {said}{count}", f"{_FADED} italic")
        self._place([Paragraph(line + Content.styled(f"  Ctrl+T {hint}", "$foreground 40%"))])
        if self._unfolded and thought:
            bar = Content.styled("│ ", "$foreground 30%")
            self._place([Paragraph(Content.styled(thought.expandtabs(4), _FADED), Lead(bar, bar))])

    def _place_apart(self, blocks: list[Block]) -> None:
        if blocks and len(self._rows) > 1:
            self._rows.append(Row(EMPTY))
            if self._fold is not None and self._answer_from == 1:
                self._answer_from = len(self._rows)
        self._place(blocks)

    def _place(self, blocks: list[Block]) -> None:
        for block in blocks:
            self._rows.extend(block.rows(self._width))


def _joined(parts: list[str]) -> str:
    """All of them, which are from then on one."""
    if len(parts) > 1:
        parts[:] = ["".join(parts)]
    return parts[0]
