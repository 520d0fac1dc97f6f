"""The table of settings: whatever stands in it can be set on the command line, in the panel, and is explained."""

from __future__ import annotations

import re
from dataclasses import make_dataclass
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadSetting
from core.setting_spec import SettingSpec
from core.setting_specs import SPECS
from core.settings import Settings
from tests.tui.support.panels import Stage, rows
from tui.cli import options
from tui.screens.help import numbers
from tui.widgets.panels.changed import SettingChanged
from tui.widgets.panels.samplers import SamplersPanel
from tui.widgets.panels.setting_rows import choosable

README = Path(__file__).parents[2] / "README.md"
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


def test_the_readme_names_every_option() -> None:
    readme = README.read_text(encoding="utf-8").replace("\n", " ")
    (listed,) = re.findall(r"Options for all of them: `(.*?)`", readme)
    assert {spec.flag for spec in SPECS.values()} <= set(listed.split())
