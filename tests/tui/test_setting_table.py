"""The table of settings: whatever stands in it can be set on the command line, in the panel, and is explained."""

from __future__ import annotations

from dataclasses import fields, make_dataclass, replace
from typing import Any

import pytest

from core.errors import BadSetting
from core.sampling.chain import CHAINS
from core.setting_spec import STAGES, SettingSpec
from core.setting_specs import SPECS
from core.settings import ORDERS, Order, Settings
from tests.tui.support.panels import Stage, rows
from tui.cli import options
from tui.screens.help import numbers
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.setting_rows import choosable

EXTRA = SettingSpec(
    name="top_h",
    kind="float",
    default=0.5,
    off=0.0,
    high=1,
    step=0.25,
    leap=0.5,
    stage="top-p",
    words=((0, "off"),),
    label="top-h",
    flag="--top-h",
    hint="0 switches it off.",
    help="keep the h likeliest",
    flag_help="keep the h likeliest tokens; 0 is off",
    explanation="Keeps h tokens.",
)


@pytest.fixture
def more_settings(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A table with one more entry, and `Settings` with its field."""
    monkeypatch.setitem(SPECS, EXTRA.name, EXTRA)
    more = make_dataclass(
        "MoreSettings", [("top_h", float, EXTRA.default)], bases=(Settings,), frozen=True, kw_only=True
    )
    monkeypatch.setattr(options, "Settings", more)
    return more


def test_another_setting_is_checked(more_settings: Any) -> None:
    assert more_settings(top_h=1).top_h == 1
    with pytest.raises(BadSetting, match=r"top_h must be between 0 and 1, not 1\.5\. 0 switches it off\."):
        more_settings(top_h=1.5)


def test_another_setting_is_an_option(more_settings: Any) -> None:
    parsed = options.parse(["ask", "hi", "--top-h", "0.75"])
    assert parsed.given == {"top_h": 0.75}
    assert parsed.settings == more_settings(top_h=0.75)
    assert "--top-h X" in options.build_parser().format_help()
    assert "keep the h likeliest tokens; 0 is off (0.5)" in " ".join(options.build_parser().format_help().split())


def test_another_setting_is_explained(more_settings: Any) -> None:
    assert (EXTRA.label, EXTRA.explanation) in dict(numbers())["The settings"]


async def test_another_setting_has_its_row(more_settings: Any) -> None:
    panel = SamplersPanel(more_settings())
    app = Stage(panel, 40, 16)
    async with app.run_test(size=(60, 30)) as pilot:
        names = [setting.name for setting in choosable("llama.cpp")]
        assert names.index("top_h") == names.index("top_p") + 1
        assert ["top-h", "0.5"] in [row.split() for row in rows(panel)]
        panel.focus()
        await pilot.press("home", *["down"] * names.index("top_h"))
        assert rows(panel)[-1].strip() == EXTRA.help
        await pilot.press("right", "backspace", "2", "enter")
        await pilot.pause()
        changes = [(change.name, change.value) for change in app.posted if isinstance(change, SettingChanged)]
        assert changes == [("top_h", 0.75), ("top_h", 0.0)]
        assert "top_h must be between 0 and 1, not 2.0." in " ".join(" ".join(rows(panel)).split())


@pytest.mark.parametrize("order", ORDERS)
def test_the_stages_are_those_of_the_chain(order: Order) -> None:
    assert STAGES[order] == tuple(name for name, _ in CHAINS[order])


def test_a_stage_that_no_chain_has_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="'top-h'"):
        replace(EXTRA, stage="top-h")


def test_the_table_and_the_settings_have_the_same_names() -> None:
    assert list(SPECS) == [field.name for field in fields(Settings)]
    assert all(name == spec.name for name, spec in SPECS.items())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_what_switches_a_setting_off_is_allowed_and_its_default_is_in_its_range(spec: SettingSpec) -> None:
    Settings().with_value(spec.name, spec.off)
    assert getattr(Settings(), spec.name) == spec.default


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("top_p", "0,5", 0.5),
        ("top_k", "12", 12),
        ("order", "transformers", "transformers"),
        ("stop", "END", ("END",)),
        ("seed", "42", 42),
    ],
)
def test_a_value_is_read_as_people_write_it(name: str, text: str, value: object) -> None:
    assert SPECS[name].parse(text) == value


@pytest.mark.parametrize(("name", "text"), [("top_k", "4.5"), ("top_p", "much"), ("seed", "none"), ("min_p", "")])
def test_what_is_no_number_is_refused_by_the_name_on_the_screen(name: str, text: str) -> None:
    with pytest.raises(BadSetting, match=f"{SPECS[name].label} must be a .*number, not {text!r}"):
        SPECS[name].parse(text)
