"""The table of settings against the chain and `Settings`, and how values are read."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from core.errors import BadSetting
from core.sampling.chain import CHAINS
from core.setting_spec import STAGES, SettingSpec
from core.setting_specs import SPECS
from core.settings import ORDERS, Order, Settings


@pytest.mark.parametrize("order", ORDERS)
def test_the_stages_are_those_of_the_chain(order: Order) -> None:
    assert STAGES[order] == tuple(name for name, _ in CHAINS[order])


def test_a_stage_that_no_chain_has_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="'top-h'"):
        replace(SPECS["top_p"], stage="top-h")


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
