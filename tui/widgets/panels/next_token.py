"""The panel that shows what could come next. Must not know the engine."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from core.records import Prediction
from tui.widgets.panels.distribution_lines import DistributionLines
from tui.widgets.panels.panel import Line, Panel, wrapped

_EMPTY = (
    "Nothing has been predicted yet.",
    "Once the model writes, this shows the tokens that could come next, how likely each is, "
    "and which of them the settings cut.",
)


class NextTokenPanel(Panel):
    """The likeliest tokens, one a row, with the header that sums them up and an honest last row for all others."""

    BORDER_TITLE = "Next token"
    HELP = """\
## Next token

The tokens that could come next, likeliest first. **after** is the chance of being chosen with the settings as they
are, **model** is the model's own probability before any setting acts. A full bar is 100 %.

- `▶` the token that was chosen
- `✗` a token that a setting cut, with the setting's name in place of its chance
- `█` the chance after the settings; where they added to it, the added part has another colour
- `░` what the settings took away

The last row is everything that is not listed, so the numbers always add up. **bits** measure how undecided the model
is: n bits are as uncertain as choosing among 2ⁿ equally likely tokens. **u** is the number that was drawn: the
chances laid end to end from the top, it says where the arrow landed.
"""

    DEFAULT_CSS = """
    NextTokenPanel {
        padding: 0;
        height: 27;
    }
    """

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id, classes=classes)
        self._shown: DistributionLines | None = None
        self._titles = ("", "")

    def show(
        self,
        prediction: Prediction | None,
        *,
        chosen: int | None = None,
        drawn: float | None = None,
        position: int | None = None,
        title: str = "",
        note: str = "",
    ) -> None:
        """Show a distribution, or that there is none.

        Args:
            chosen: the id of the token that was taken.
            drawn: the number in [0, 1) that chose it.
            position: where in the context the token stands.
            title: in place of "Next token".
            note: for the lower border.
        """
        self._shown = (
            None
            if prediction is None
            else DistributionLines(prediction=prediction, chosen=chosen, drawn=drawn, position=position)
        )
        if (title, note) != self._titles:
            self._titles = (title, note)
            self.border_title = Content(title or self.BORDER_TITLE)
            self.border_subtitle = Content(note)
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        if self._shown is None:
            return [row for text in _EMPTY for row in (*wrapped(text, width - 2, "dim"), [])]
        return self._shown.lines(width, height)
