"""The newest choice of a token in its panel, and what other settings would have made of it. Must not know the chat."""

from __future__ import annotations

from core.records import TokenRecord
from core.settings import Settings
from tui.controllers import notes
from tui.engines.protocol import EngineLink, Inspect, Inspected
from tui.session.open_model import OpenModel
from tui.widgets.panels.next_token import NextTokenPanel


class LastToken:
    """Shows it, and asks the engine about it as long as that still has it in mind."""

    def __init__(self, engine: EngineLink, open_model: OpenModel, panel: NextTokenPanel) -> None:
        self._engine = engine
        self._open_model = open_model
        self._panel = panel
        self._record: TokenRecord | None = None
        self._in_mind = False

    def show(self, record: TokenRecord) -> None:
        """This is the newest."""
        self._record, self._in_mind = record, True
        self._panel.show(record.prediction, chosen=record.id, drawn=record.drawn, position=record.position)

    def engine_forgets(self) -> None:
        """It stays in sight, and the engine may no longer know that position."""
        self._in_mind = False

    def clear(self) -> None:
        """There is none."""
        self._record, self._in_mind = None, False
        self._panel.show(None)

    def inspect(self, settings: Settings) -> None:
        """Ask what these settings would have done, if the engine can tell; `show_inspected` has the answer."""
        if self._in_mind and self._record is not None and self._open_model.capabilities.inspect:
            self._engine.send(Inspect(position=self._record.position, settings=settings))

    def show_inspected(self, answer: Inspected) -> None:
        """The same dice under the settings that were asked about; ignored if another choice is in sight by now."""
        if self._record is None or self._record.position != answer.position:
            return
        self._panel.show(
            answer.prediction,
            chosen=answer.chosen,
            drawn=answer.drawn,
            position=answer.position,
            note=notes.what_if(answer, self._record),
        )
