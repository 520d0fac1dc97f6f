"""The help screen: every key, and what every number on the screen means. Must not know who handles the keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.setting_specs import SPECS

Group = tuple[str, Sequence[tuple[str, str]]]  # a title, terms with their explanations
Groups = Sequence[Group]

_NARROWEST = 24  # cells of a column of text

_DISTRIBUTION: Group = (
    "The distribution",
    (
        (
            "model",
            "The model's own probability: the softmax of its logits over the whole vocabulary, no setting applied.",
        ),
        (
            "after",
            "The chance of being chosen, once every setting has acted. Cut tokens have none and name who cut them.",
        ),
        (
            "rest",
            "The last row: all tokens without a row of their own, so that the numbers always add up to 100 %.",
        ),
        ("bits", "Entropy: how undecided the model is. 0 bits is certain, and each bit more doubles the choice."),
        ("real choices", "2 to the power of the bits: as uncertain as that many equally likely tokens."),
        ("in play", "How many tokens each sampler left: from the vocabulary down to those that could be chosen."),
        (
            "u",
            "The number drawn, from 0 to 1. Lay the chances end to end, likeliest first: the token at u is next. "
            "It depends on the seed and the position alone, so a changed setting never changes the luck.",
        ),
    ),
)

_STATUS_LINE: Group = (
    "The status line",
    (
        ("tok/s", "Tokens written a second, the reading of the prompt not counted."),
        ("first token", "From Enter to the first token of the reply."),
        (
            "guesses",
            "Tokens that were read before they were chosen, as they had followed the same words before or as a "
            "draft (--draft) came up with them. The answer is the same, and comes faster.",
        ),
        ("context", "Tokens of the conversation so far, and how many the model can hold."),
    ),
)


def numbers() -> Groups:
    """What every number on the screen means."""
    settings = [(spec.label, spec.explanation) for spec in SPECS.values() if spec.explanation]
    return (_DISTRIBUTION, ("The settings", settings), _STATUS_LINE)


class HelpScreen(ModalScreen[None]):
    """Shows key groups, then what the numbers mean; Escape, F1 or q closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,f1,q", "dismiss", "Close")]

    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
    }
    HelpScreen > VerticalScroll {
        width: 90%;
        max-width: 96;
        height: 90%;
        padding: 0 1;
        border: heavy $border;
        border-title-style: bold;
        background: $surface;
        scrollbar-size-vertical: 1;
    }
    HelpScreen Sheet {
        padding: 0 1 0 0;
    }
    """

    def __init__(self, groups: Groups) -> None:
        super().__init__()
        self._groups = groups

    def compose(self) -> ComposeResult:
        pane = VerticalScroll(Sheet([*self._groups, *numbers()]))
        pane.border_title = "Help"
        pane.border_subtitle = "Escape closes"
        yield pane


class Sheet(Static):
    """Groups of terms with their explanations, in two columns that wrap to the width there is."""

    def __init__(self, groups: Groups) -> None:
        super().__init__(markup=False)
        self._groups = groups
        longest = max((cell_len(term) for _, entries in groups for term, _ in entries), default=0)
        self._indent = min(longest, 24) + 3

    def on_resize(self) -> None:
        self.update(self.sheet(self.size.width))

    def sheet(self, width: int) -> Content:
        lines: list[Content] = []
        for title, entries in self._groups:
            lines += [Content(), Content.styled(title, "bold $text-accent")]
            for term, explanation in entries:
                lines += self._entry(term, explanation, width)
        return Content("\n").join(lines[1:])

    def _entry(self, term: str, explanation: str, width: int) -> list[Content]:
        """Side by side; below each other where a column would be too narrow to read or the term is too long."""
        name = Content.styled(f" {term}", "bold")
        indent = self._indent if width >= self._indent + _NARROWEST else 3
        wrapped = [row.pad_left(indent) for row in Content(explanation).wrap(max(1, width - indent))]
        if cell_len(term) + 2 > indent:
            return [*name.wrap(max(1, width)), *wrapped]
        return [name.pad_right(indent - name.cell_length) + wrapped[0][indent:], *wrapped[1:]]
