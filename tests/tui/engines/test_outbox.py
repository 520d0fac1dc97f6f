"""Which tokens are told when, and of which of them everything is told, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from core.records import Finished, Prefill, Token, TokenRecord
from tests.tui.support.scripted import finished, record
from tui.engines import outbox as engine_outbox
from tui.engines.outbox import INTERVAL, Outbox
from tui.engines.protocol import Answer, Told

PREFILL = Prefill(done=1, total=2, reused=0, dropped=0)


class Desk:
    """An outbox, its clock, and what came out of it: one list for every time that something was sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.sent: list[list[Prefill | Token | Finished]] = []
        self._newest = 0
        monkeypatch.setattr(engine_outbox.time, "monotonic", lambda: self.now)
        self.outbox = Outbox(7, self._send, lambda: record(self._newest, "word"))

    def token(self, position: int, after: float) -> None:
        """The engine chooses another token."""
        self.now += after
        self._newest = position
        self.outbox.tell(token(position))

    @property
    def positions(self) -> list[list[tuple[int, bool]]]:
        """Of every token told: where it stands, and whether everything is known of it."""
        return [
            [(e.position, isinstance(e, TokenRecord)) for e in events if isinstance(e, Token)] for events in self.sent
        ]

    def _send(self, answers: Sequence[Answer]) -> None:
        assert all(isinstance(answer, Told) and answer.number == 7 for answer in answers)
        self.sent.append([answer.event for answer in answers if isinstance(answer, Told)])


def token(position: int) -> Token:
    whole = record(position, "word")
    return Token(**{name: getattr(whole, name) for name in Token.__dataclass_fields__})


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


def test_of_a_slow_model_everything_is_told_at_once(desk: Desk) -> None:
    for position in range(3):
        desk.token(position, after=2 * INTERVAL)
    assert desk.positions == [[(0, True)], [(1, True)], [(2, True)]]


def test_of_a_fast_model_every_token_and_the_record_of_the_newest(desk: Desk) -> None:
    for position in range(9):
        desk.token(position, after=INTERVAL * 0.3)
    assert desk.positions == [
        [(0, True)],  # the first one does not wait
        [(1, False), (2, False), (3, False), (4, True)],
        [(5, False), (6, False), (7, False), (8, True)],
    ]


def test_the_end_brings_what_was_waiting_first_and_recorded(desk: Desk) -> None:
    for position in range(3):
        desk.token(position, after=0.0)
    end = finished("word")
    desk.outbox.tell(end)
    assert desk.positions == [[(0, True)], [(1, False), (2, True)], []]
    assert desk.sent[-1] == [end]


def test_a_prompt_being_read_is_told_at_once(desk: Desk) -> None:
    desk.outbox.tell(PREFILL)
    desk.outbox.tell(PREFILL)
    assert desk.sent == [[PREFILL], [PREFILL]]


def test_nothing_waiting_is_nothing_told(desk: Desk) -> None:
    desk.outbox.flush()
    assert desk.sent == []
