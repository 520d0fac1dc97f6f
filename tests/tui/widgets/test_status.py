from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from tui.session.engine_state import EngineState
from tui.widgets.status import StatusBar, render, seconds

WRITING = EngineState(
    activity="writing",
    model="bundled",
    device="cuda",
    precision="bfloat16",
    tokens_per_second=123.44,
    first_token_seconds=0.083,
    used=1412,
    size=8192,
)


def test_a_wide_line_says_everything() -> None:
    shown = render(WRITING, 120).plain
    for part in ("● writing", "bundled", "cuda bfloat16", "123.4 tok/s", "first token 83 ms", "1,412 / 8,192"):
        assert part in shown
    assert shown.endswith("1,412 / 8,192")
    assert len(shown) == 120


def test_eighty_columns_show_the_state_the_speed_and_the_context() -> None:
    shown = render(replace(WRITING, model="a-model-with-a-very-long-name-indeed"), 80).plain
    for part in ("writing", "123.4 tok/s", "1,412 / 8,192"):
        assert part in shown


def test_what_matters_least_goes_first() -> None:
    parts = ("bfloat16", "cuda", "first token", "bundled", "tok/s", "1,412 / 8,192")
    gone = []
    for width in range(120, 20, -1):
        shown = render(WRITING, width).plain
        gone += [part for part in parts if part not in shown and part not in gone]
    assert gone == list(parts[:-1])


@given(
    width=st.integers(1, 200),
    activity=st.sampled_from(["starting", "loading", "ready", "reading", "writing", "stopped", "failed"]),
    model=st.text(max_size=40),
    what=st.text(max_size=40),
)
def test_no_width_and_no_name_breaks_the_line(width: int, activity: str, model: str, what: str) -> None:
    state = replace(WRITING, activity=activity, model=model, what=what, fraction=0.4, done=3, total=7)  # type: ignore[arg-type]
    content = render(state, width)
    assert content.cell_length <= max(width, 28)
    assert "\n" not in content.plain
    assert "\x1b" not in content.plain


def test_loading_shows_how_far_it_is() -> None:
    shown = render(EngineState(activity="loading", what="weights", fraction=0.5), 80).plain
    assert "● loading weights" in shown
    assert "█████     " in shown  # half of ten cells
    assert "50%" in shown


def test_reading_counts_the_prompt() -> None:
    assert "prompt 1,024 of 4,096" in render(replace(WRITING, activity="reading", done=1024, total=4096), 100).plain


@pytest.mark.parametrize(("used", "warns"), [(8192 * 85 // 100, False), (8192 * 86 // 100, True), (8192, True)])
def test_a_context_that_is_nearly_full_is_warned_of_in_more_than_colour(used: int, warns: bool) -> None:
    content = render(replace(WRITING, used=used), 120)
    assert (f"! {used:,} / 8,192" in content.plain) == warns
    assert any("$text-warning" in str(span.style) for span in content.spans) == warns


def test_before_a_model_is_known_nothing_is_made_up() -> None:
    assert render(EngineState(), 80).plain.strip() == "● starting"


@pytest.mark.parametrize(("value", "shown"), [(0.0004, "0 ms"), (0.083, "83 ms"), (1.26, "1.3 s"), (75.0, "75.0 s")])
def test_seconds(value: float, shown: str) -> None:
    assert seconds(value) == shown


async def test_the_bar_shows_what_it_is_given_at_the_width_it_has() -> None:
    class Stage(App[None]):
        def compose(self) -> ComposeResult:
            yield StatusBar()

    app = Stage()
    async with app.run_test(size=(100, 3)) as pilot:
        bar = app.query_one(StatusBar)
        bar.show(WRITING)
        await pilot.pause()
        assert bar.render_line(0).text.strip() == render(WRITING, 98).plain.strip()
        bar.show_fetching("fetching 61%")
        await pilot.pause()
        assert "fetching 61%" in bar.render_line(0).text
        bar.show_fetching("")
        await pilot.pause()
        assert bar.render_line(0).text.strip() == render(WRITING, 98).plain.strip()
        await pilot.resize_terminal(40, 3)
        await pilot.pause()
        assert "1,412 / 8,192" in bar.render_line(0).text
