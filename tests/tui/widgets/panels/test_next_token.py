from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.cells import cell_len

from core.records import Prediction
from core.settings import Settings
from tests.tui.support.panels import Stage, predicted, rows
from tests.tui.support.scripted import prediction, top_only
from tui.format import choices, percent
from tui.sanitize import visible_bytes
from tui.widgets.panels.distribution_lines import Columns, DistributionLines
from tui.widgets.panels.next_token import NextTokenPanel


def text(view: DistributionLines, width: int = 76, height: int = 30) -> list[str]:
    return ["".join(part for part, _ in line) for line in view.lines(width, height)]


def table(lines: list[str]) -> list[str]:
    """The rows below the column titles."""
    start = next(i for i, line in enumerate(lines) if "after" in line and "model" in line)
    return lines[start + 1 :]


def shares(lines: list[str]) -> tuple[float, float]:
    """Sums of the two columns in percent; a cut token has none in the first, a limit counts as 0."""
    after = model = 0.0
    for line in lines:
        first, second = line[1:8], line[9:16]
        after += float(first[:-1]) if re.fullmatch(r" *[\d.]+ %", first) else 0.0
        model += float(second[:-1]) if re.fullmatch(r" *[\d.]+ %", second) else 0.0
    return after, model


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 99),
    temperature=st.floats(0, 5),
    order=st.sampled_from(["llama.cpp", "transformers"]),
    width=st.integers(28, 80),
    height=st.integers(6, 40),
)
def test_rows_and_rest_add_up_to_everything(seed: int, temperature: float, order: str, width: int, height: int) -> None:
    settings = Settings(temperature=temperature, order=order)  # type: ignore[arg-type]
    listed = table(text(DistributionLines(prediction=predicted(settings, seed=seed)), width, height))
    after, model = shares(listed)
    slack = 0.05 * len(listed) + 0.1  # each number is rounded to a tenth of a percent or better, >99.9 counts as 0
    if not any(">99.9" in line[:8] for line in listed):
        assert after == pytest.approx(100, abs=slack)
    if not any(">99.9" in line[9:16] for line in listed):
        assert model == pytest.approx(100, abs=slack)


@hypothesis_settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9), width=st.integers(28, 78), height=st.integers(1, 38), chosen=st.integers(0, 499))
def test_every_line_fits_and_the_rest_is_always_there(seed: int, width: int, height: int, chosen: int) -> None:
    view = DistributionLines(prediction=predicted(seed=seed), chosen=chosen, drawn=0.5, position=12345)
    lines = text(view, width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    hidden = 500 - (len(table(lines)) - 1 if height >= 6 else max(0, height - 2) if height > 2 else height - 1)
    assert str(hidden) in lines[-1]


def test_the_token_column_begins_at_the_same_cell_in_every_row() -> None:
    listed = table(text(DistributionLines(prediction=predicted())))
    starts = {cell_len(line[: line.index('"')]) for line in listed[:-1] if '"' in line}
    assert len(starts) == 1


def test_the_chosen_is_marked_by_its_id_even_among_equals() -> None:
    prediction = predicted()
    first, second = prediction.candidates[:2]
    assert first.text == second.text
    marked = [line for line in text(DistributionLines(prediction=prediction, chosen=second.id)) if line.startswith("▶")]
    assert len(marked) == 1
    assert marked[0].split()[-2] == str(second.id)


def test_a_chosen_token_far_down_has_a_row_and_one_out_of_the_list_marks_the_rest() -> None:
    prediction = predicted(Settings(temperature=5, top_k=0, top_p=1, min_p=0))
    deep = prediction.candidates[35]
    assert text(DistributionLines(prediction=prediction, chosen=deep.id))[-2].startswith("▶")
    assert text(DistributionLines(prediction=prediction, chosen=499))[-1].startswith("▶")


def test_a_cut_token_says_by_whom_in_more_than_colour() -> None:
    prediction = predicted(Settings(top_k=3, top_p=1, min_p=0))
    view = DistributionLines(prediction=prediction)
    third, fourth = [view.lines(76, 30)[4 + row] for row in (2, 3)]
    assert third[0][0] == " "
    assert (fourth[0][0], fourth[1][0].strip(), fourth[1][1]) == ("✗", "top-k", "dim")


def test_argmax_names_the_temperature_as_the_one_that_cut() -> None:
    prediction = predicted(Settings(temperature=0, top_k=0, top_p=1, min_p=0))
    listed = table(text(DistributionLines(prediction=prediction)))
    assert listed[0][1:8] == "  100 %"
    assert listed[1][1:8] == "  T = 0"


@pytest.mark.parametrize("probability", [1.0, 0.5, 0.25, 0.0])
def test_a_full_bar_is_all_of_it(probability: float) -> None:
    prediction = predicted(Settings(top_k=0, top_p=1, min_p=0))
    first = prediction.candidates[0]._replace(probability=probability, raw_probability=0.0)
    line = text(DistributionLines(prediction=replace(prediction, candidates=(first,))), 76, 30)[4]
    width = Columns.within(76).bar
    assert line.count("█") == int(probability * width)


def test_what_the_settings_take_is_shaded_and_what_they_give_has_a_colour_of_its_own() -> None:
    prediction = predicted()
    candidate = prediction.candidates[0]._replace(raw_probability=0.75, probability=0.25)
    lost = DistributionLines(prediction=replace(prediction, candidates=(candidate,))).lines(76, 30)[4]
    width = Columns.within(76).bar
    assert sum(text.count("░") for text, _ in lost) == pytest.approx(width / 2, abs=1)
    candidate = candidate._replace(raw_probability=0.25, probability=0.75)
    gained = DistributionLines(prediction=replace(prediction, candidates=(candidate,))).lines(76, 30)[4]
    tones = {style: len(text) for text, style in gained if "█" in text}
    assert tones["$success"] == pytest.approx(2 * tones["$primary"], abs=2)


def test_the_header_tells_entropy_the_funnel_and_the_dice() -> None:
    prediction = replace(
        predicted(Settings(top_k=40, top_p=0.9, min_p=0)), entropy_bits=3.0, chain_entropy_bits=1.0
    )  # 2 ** 3 = 8 choices, 2 ** 1 = 2
    model, after, funnel, _ = text(DistributionLines(prediction=prediction, drawn=0.6134, position=57))[:4]
    assert model.split() == ["model", "3.00", "bits,", "about", "8", "real", "choices", "position", "57"]
    assert after.split() == ["after", "1.00", "bits,", "about", "2", "real", "choices", "u", "=", "0.613"]
    assert re.fullmatch(r" 500 → top-k 40 → top-p \d+ in play", funnel)


@pytest.mark.parametrize("width", range(28, 80))
@pytest.mark.parametrize("position", [None, 7, 12345])
def test_the_two_entropies_stand_below_each_other(width: int, position: int | None) -> None:
    certain = replace(predicted(), entropy_bits=3.3, chain_entropy_bits=0.0)  # one line is longer than the other
    model, after = text(DistributionLines(prediction=certain, drawn=0.25, position=position), width)[:2]
    assert model.index("3.30 bits") == after.index("0.00 bits")
    assert ("about" in model) == ("about" in after)


@pytest.mark.parametrize("panel", [38, 50, 68])  # as wide as it stands in the chat
def test_a_word_and_an_end_of_turn_have_room(panel: int) -> None:
    columns = Columns.within(panel - 2)
    for token in ('"<|im_end|>"', '"␣neighbor"'):
        assert cell_len(token) <= columns.token
    assert columns.bar >= 5


@pytest.mark.parametrize("width", [36, 40, 48, 60, 80])
@pytest.mark.parametrize("height", [9, 12, 30])
def test_the_dice_are_told_wherever_there_is_room(width: int, height: int) -> None:
    lines = text(DistributionLines(prediction=predicted(), drawn=0.25, position=7), width, height)
    assert len(re.findall(r"u = 0\.250", "".join(lines))) == 1


def test_nothing_of_a_hair_is_left_in_the_rest_when_no_token_is() -> None:
    prediction = replace(predicted(Settings(top_k=2)), rest_probability=2.2e-16)
    assert text(DistributionLines(prediction=prediction))[-1][1:8] == "    0 %"


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (1.0, "100 %"),
        (0.99996, ">99.9 %"),
        (0.9994, "99.9 %"),
        (0.613, "61.3 %"),
        (0.0987, "9.87 %"),
        (0.009, "0.90 %"),
        (0.0001, "0.01 %"),
        (0.00009, "<0.01 %"),
        (5e-324, "<0.01 %"),
        (0.0, "0 %"),
        (-1e-17, "0 %"),
        (None, "unknown"),
    ],
)
def test_percentages_never_claim_what_they_round_to(probability: float | None, shown: str) -> None:
    assert percent(probability) == shown


@given(st.floats(0, 1))
def test_a_percentage_takes_seven_cells_at_most_and_is_never_far_off(probability: float) -> None:
    shown = percent(probability)
    assert len(shown) <= 7
    assert float(shown.strip("<> %")) == pytest.approx(100 * probability, abs=0.1)


# --- where only the top of a distribution is known --------------------------------------------------------------------

TOP_ONLY = top_only(Settings())


def test_an_unknown_rest_is_said_to_be_unknown() -> None:
    last = DistributionLines(prediction=TOP_ONLY, chosen=99).lines(76, 30)[-1]
    width = Columns.within(76).bar
    assert "".join(text for text, _ in last) == f"▶unknown unknown {' ' * width} all other tokens"
    rest = DistributionLines(prediction=TOP_ONLY).rest(list(TOP_ONLY.candidates))
    assert (rest.count, rest.alive, rest.raw_probability, rest.probability) == (None,) * 4


def test_unknown_entropies_and_counts_are_said_to_be_unknown() -> None:
    model, after, funnel, _ = text(DistributionLines(prediction=TOP_ONLY, drawn=0.25, position=7))[:4]
    assert model.split() == ["model", "bits", "unknown", "position", "7"]
    assert after.split() == ["after", "bits", "unknown", "u", "=", "0.250"]
    assert funnel == " tokens in play: unknown"
    assert text(DistributionLines(prediction=TOP_ONLY), 40, 8)[0].strip() == "unknown → unknown bits"
    half = replace(TOP_ONLY, entropy_bits=2.0)
    assert text(DistributionLines(prediction=half), 40, 8)[0].strip() == "2.00 → unknown bits"


def test_what_each_stage_left_is_told_of_a_vocabulary_of_unknown_size() -> None:
    cut = replace(TOP_ONLY, stages=prediction(Settings()).stages)
    assert text(DistributionLines(prediction=cut))[2] == " penalties 4,096 → top-k 5 in play"
    assert text(DistributionLines(prediction=cut))[-1].split()[:3] == ["0", "%", "unknown"], "all five have rows"


@pytest.mark.parametrize("width", [28, 40, 60, 80])
@pytest.mark.parametrize("height", [1, 3, 6, 9, 12, 30])
def test_what_is_unknown_fits_everywhere(width: int, height: int) -> None:
    lines = text(DistributionLines(prediction=TOP_ONLY, chosen=100, drawn=0.5, position=12345), width, height)
    assert len(lines) <= height
    assert max(map(cell_len, lines)) <= width
    assert "unknown" in lines[-1]


def test_one_choice_is_singular() -> None:
    assert [choices(n) for n in (1.0, 1.04, 1.06, 9.94, 12.3, 4096.0)] == [
        "1 real choice",
        "1 real choice",
        "1.1 real choices",
        "9.9 real choices",
        "12 real choices",
        "4,096 real choices",
    ]


async def test_hostile_tokens_reach_the_screen_as_symbols() -> None:
    panel = NextTokenPanel()
    async with Stage(panel, 60, 30).run_test(size=(60, 32)) as pilot:
        panel.show(predicted(Settings(temperature=1, top_k=0, top_p=1, min_p=0)), chosen=0, title="[/]", note="[b]")
        await pilot.pause()
        shown = "".join(rows(panel))
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", shown)
        assert '"[/]"' in shown
        assert visible_bytes(b"\xe2\x96") in shown
        assert panel.border_subtitle == r"\[b]"


async def test_a_new_distribution_repaints_the_panel_and_none_empties_it() -> None:
    panel = NextTokenPanel()
    async with Stage(panel, 60, 30).run_test(size=(60, 32)) as pilot:
        assert "Nothing has been predicted" in rows(panel)[0]
        for seed in (1, 2):
            prediction: Prediction = predicted(seed=seed)
            panel.show(prediction)
            await pilot.pause()
            assert f"{prediction.entropy_bits:.2f} bits" in rows(panel)[0]
        await pilot.resize_terminal(40, 12)
        panel.styles.width, panel.styles.height = 30, 8
        await pilot.pause()
        assert f"{prediction.entropy_bits:.2f} →" in rows(panel)[0]
        assert all(cell_len(row) == 28 for row in rows(panel))
        panel.show(None)
        assert "Nothing has been predicted" in rows(panel)[0]
