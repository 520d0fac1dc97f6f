from __future__ import annotations

from dataclasses import fields as dataclass_fields
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events
from textual.pilot import Pilot

from core.sampling.chain import CHAINS
from core.setting_spec import SettingSpec, Value
from core.setting_specs import SPECS
from core.settings import ORDERS, Order, Settings
from tests.tui.support.panels import Stage, rows
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.setting_rows import choosable, moved
from tui.widgets.panels.setting_rows import rows as rows_of

HEIGHT = 15  # twelve rows, one of help, the border


def stage(settings: Settings | None = None, width: int = 40, height: int = HEIGHT) -> tuple[Stage, SamplersPanel]:
    panel = SamplersPanel(settings)
    return Stage(panel, width, height), panel


def posted(app: Stage) -> list[tuple[str, Value]]:
    return [(message.name, message.value) for message in app.posted if isinstance(message, SettingChanged)]


async def go_to(app: Stage, pilot: Pilot[None], field: str) -> None:
    app.widget.focus()
    await pilot.press("home")
    names = [setting.name for setting in choosable("llama.cpp")]
    await pilot.press(*["down"] * names.index(field))


@pytest.mark.parametrize("order", ORDERS)
def test_the_rows_stand_in_the_order_in_which_the_chain_runs(order: Order) -> None:
    names = {"top-k": "top_k", "typical": "typical_p", "top-p": "top_p", "min-p": "min_p"}
    stages = [names.get(name, name) for name, _ in CHAINS[order] if name != "penalties"]
    shown = [setting.name for setting in rows_of(order)]
    assert CHAINS[order][0][0] == "penalties"
    penalties = ["repetition_penalty", "presence_penalty", "frequency_penalty", "penalty_window"]
    assert shown == ["order", *penalties, *stages, "seed", "max_tokens"]


def test_every_setting_has_a_row_but_the_temperature_and_the_stop_strings() -> None:
    for order in ORDERS:
        names = {setting.name for setting in choosable(order)}
        assert names == {field.name for field in dataclass_fields(Settings)} - {"temperature", "stop"}


@pytest.mark.parametrize(
    ("field", "keys", "expected"),
    [
        ("top_k", ["right"], 41),
        ("top_k", ["left"], 39),
        ("top_k", ["shift+right"], 50),
        ("top_k", ["pagedown"], 30),
        ("top_k", ["1", "2", "enter"], 12),
        ("top_k", ["backspace"], 0),
        ("top_p", ["right"], 0.96),
        ("top_p", ["delete"], 1.0),
        ("top_p", [".", "5", "enter"], 0.5),
        ("min_p", ["left"], 0.04),
        ("min_p", ["left"] * 7, 0.0),
        ("typical_p", ["left"], 0.99),
        ("repetition_penalty", ["right"], 1.05),
        ("presence_penalty", ["left"], -0.1),
        ("frequency_penalty", ["-", "1", ",", "5", "enter"], -1.5),
        ("penalty_window", ["right"], 80),
        ("penalty_window", ["left"] * 9, -1),
        ("seed", ["right"], 0),
        ("seed", ["right", "left"], None),
        ("seed", ["4", "2", "enter"], 42),
        ("max_tokens", ["right"], 16),
        ("max_tokens", ["right", "left"], None),
        ("order", ["right"], "transformers"),
        ("order", ["left"], "transformers"),
    ],
)
async def test_keys_change_the_chosen_row(field: str, keys: list[str], expected: object) -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        await go_to(app, pilot, field)
        await pilot.press(*keys)
        await pilot.pause()
        assert panel.settings == replace(Settings(), **{field: expected})  # type: ignore[arg-type]
        assert all(change == (field, expected) for change in posted(app)[-1:])
        assert bool(posted(app)) == (panel.settings != Settings() or len(keys) > 1)


async def test_every_step_acts_at_once() -> None:
    app, _ = stage()
    async with app.run_test() as pilot:
        await go_to(app, pilot, "top_k")
        await pilot.press("right", "right", "left")
        await pilot.pause()
        assert posted(app) == [("top_k", 41), ("top_k", 42), ("top_k", 41)]


@pytest.mark.parametrize(
    ("field", "typed", "told"),
    [
        ("top_k", "4.5", "top-k must be a whole number, not '4.5'."),
        ("top_k", "-1", "top_k must be at least 0, not -1."),
        ("top_p", "1.5", "top_p must be between 0 and 1, not 1.5."),
        ("min_p", "-.1", "min_p must be between 0 and 1, not -0.1."),
        ("repetition_penalty", "0", "repetition_penalty must be between 0.01 and 100, not 0.0."),
        ("max_tokens", "0", "max_tokens must be at least 1, not 0."),
        ("order", "3", "There is no sampler order '3'."),
        ("seed", "9" * 24, "seed must be between 0 and"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_value_and_nothing_is_lost(
    field: str, typed: str, told: str
) -> None:
    app, panel = stage(width=60)
    async with app.run_test() as pilot:
        await go_to(app, pilot, field)
        await pilot.press(*typed, "enter")
        assert told in " ".join(" ".join(rows(panel)).split())
        assert any(typed in row for row in rows(panel))
        assert posted(app) == []
        assert panel.settings == Settings()
        await pilot.press("escape")
        assert told not in " ".join(rows(panel))


async def test_the_other_order_moves_the_rows_and_keeps_the_choice() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        names = [row.split()[0] for row in rows(panel) if not row.startswith("▸")][:11]
        assert names.index("temperature") == 8
        panel.show(Settings(order="transformers", temperature=1.5))
        await pilot.pause()
        assert [row.split() for row in rows(panel)][5] == ["temperature", "1.50"]
        assert rows(panel)[6].startswith("▸ top-k")
        assert posted(app) == []


async def test_showing_settings_does_not_disturb_what_is_being_typed() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        await go_to(app, pilot, "top_k")
        await pilot.press("1")
        panel.show(Settings(temperature=0.3))
        await pilot.press("7", "enter")
        assert panel.settings == Settings(temperature=0.3, top_k=17)


async def test_the_temperature_has_a_place_but_cannot_be_chosen() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        await go_to(app, pilot, "min_p")
        await pilot.press("down")
        assert panel.row.name == "seed"
        place = next(y for y, row in enumerate(rows(panel)) if "temperature" in row)
        await pilot.click(panel, offset=(5, place + 1))
        assert panel.row.name == "seed"


async def test_a_click_chooses_and_the_wheel_changes_the_row_under_the_mouse() -> None:
    app, panel = stage()
    async with app.run_test() as pilot:
        place = next(y for y, row in enumerate(rows(panel)) if "min-p" in row)
        await pilot.click(panel, offset=(5, place + 1))
        assert panel.row.name == "min_p"
        other = next(y for y, row in enumerate(rows(panel)) if "top-p" in row)
        panel.post_message(events.MouseScrollDown(panel, 5, other + 1, 0, 0, 0, False, False, False))
        await pilot.pause()
        assert posted(app) == [("top_p", 0.94)]
        panel.post_message(events.MouseScrollUp(panel, 5, HEIGHT - 2, 0, 0, 0, False, False, False))  # the line of help
        await pilot.pause()
        assert len(posted(app)) == 1


@pytest.mark.parametrize(("width", "height"), [(30, 3), (30, 4), (40, 6), (80, 9), (30, 15), (40, 20)])
async def test_the_chosen_row_is_in_sight_at_any_size(width: int, height: int) -> None:
    app, panel = stage(width=width, height=height)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        panel.action_choose(-99)
        for _ in range(12):
            shown = rows(panel)
            assert sum(row.startswith("▸") for row in shown) == 1
            assert {cell_len(row) for row in shown} == {width - 4}
            panel.action_choose(1)
        assert panel.row.name == "max_tokens"
        assert ("↑" in "".join(rows(panel))) == (height < HEIGHT)


async def test_it_asks_for_the_height_of_all_its_rows() -> None:
    app, panel = stage()
    panel.styles.height = "auto"
    async with app.run_test():
        assert panel.outer_size.height == HEIGHT


numbers = st.sampled_from([spec for spec in SPECS.values() if spec.kind in ("int", "float")])


@given(spec=numbers, ups=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_no_number_of_steps_leaves_the_range(spec: SettingSpec, ups: list[tuple[bool, bool]]) -> None:
    value = spec.default
    for up, far in ups:
        value = moved(spec, value, up=up, far=far)
        spec.check(value)
    assert len(spec.text(value)) < 25


@given(seed=st.integers(0, 2**64 - 2))
def test_a_step_of_a_long_seed_is_exact(seed: int) -> None:
    assert moved(SPECS["seed"], seed, up=True) == seed + 1
