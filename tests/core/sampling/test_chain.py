"""The chain against transformers' own logits processors, hand-worked examples, and the dice against scipy."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special, stats
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from core.sampling import chain
from core.sampling.chain import CHAINS, Pool, Sampler, softmax
from core.sampling.dice import dice, draw
from core.sampling.top import Floats, best
from core.settings import Order, Settings

BORDER = 1e-9  # a token whose mass is this close to a threshold may fall on either side: two ways of adding it up


def off(**changes: Any) -> Settings:
    """Every stage off but those named."""
    neutral: dict[str, Any] = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "penalty_window": -1}
    return Settings(**neutral | changes)


def random_logits(seed: int, size: int, scale: float = 3.0) -> Floats:
    return np.random.default_rng(seed).normal(0.0, scale, size)


def whole(logits: Sequence[float] | Floats) -> Pool:
    return Pool(np.arange(len(logits)), np.asarray(logits, dtype=np.float64))


def run_chain(logits: Sequence[float] | Floats, settings: Settings, history: Sequence[int] = ()) -> Pool:
    pool = whole(logits)
    for _, sampler in CHAINS[settings.order]:
        pool = sampler(pool, settings, history)
    return pool


def oracle(processor: Any, logits: Floats, history: Sequence[int] = ()) -> Floats:
    """What transformers makes of these logits; the cut ones are -inf."""
    ids = torch.tensor([list(history)], dtype=torch.long)
    scores: Floats = processor(ids, torch.from_numpy(logits.copy())[None])[0].numpy()
    return scores


def assert_same(pool: Pool, scores: Floats, borderline: NDArray[np.bool_] | None = None) -> None:
    kept = np.zeros(len(scores), dtype=bool)
    kept[pool.ids] = True
    differ = kept != np.isfinite(scores)
    if borderline is not None:
        differ &= ~borderline
    assert not differ.any(), f"kept differently: {np.flatnonzero(differ)}"
    both = pool.ids[np.isfinite(scores[pool.ids])]
    np.testing.assert_allclose(pool.logits[np.isin(pool.ids, both)], scores[both], rtol=1e-12, atol=1e-12)


def near(order: NDArray[np.int64], probabilities: Floats, mass: float) -> NDArray[np.bool_]:
    """Tokens so close to the threshold of mass that rounding decides."""
    before = np.concatenate(([0.0], special.softmax(np.log(probabilities[order])).cumsum()[:-1]))
    close = np.zeros(len(order), dtype=bool)
    close[order] = np.abs(before - mass) < BORDER
    return close


SIZES = (1, 2, 7, 300, 5000)  # 5000: more than the head that is looked at first
MASSES = (0.01, 0.3, 0.6, 0.9, 0.95, 0.999)


# --- every sampler against transformers -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [0.05, 0.5, 1.0, 1.7, 5.0, 1000.0])
def test_temperature(size: int, value: float) -> None:
    logits = random_logits(1, size)
    pool = chain.temperature(whole(logits), off(temperature=value), ())
    scores = oracle(TemperatureLogitsWarper(value), logits)
    np.testing.assert_array_equal(pool.ids, np.arange(size))
    np.testing.assert_allclose(pool.logits - pool.logits.max(), scores - scores.max(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("k", [1, 2, 40, 299, 4999, 100_000])
def test_top_k(size: int, k: int) -> None:
    logits = random_logits(2, size)
    assert_same(chain.top_k(whole(logits), off(top_k=k), ()), oracle(TopKLogitsWarper(k), logits))


@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])  # flat: the threshold lies beyond the head; peaked: within it
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mass", MASSES)
def test_top_p(size: int, mass: float, scale: float) -> None:
    logits = random_logits(3, size, scale)
    scores = oracle(TopPLogitsWarper(mass), logits)
    border = near(np.argsort(-logits), special.softmax(logits), mass)
    assert_same(chain.top_p(whole(logits), off(top_p=mass), ()), scores, border)


@pytest.mark.parametrize("scale", [0.01, 1.0, 8.0])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mass", MASSES)
def test_typical(size: int, mass: float, scale: float) -> None:
    logits = random_logits(4, size, scale)
    scores = oracle(TypicalLogitsWarper(mass), logits)
    probabilities = special.softmax(logits)
    distance = np.abs(-special.log_softmax(logits) - special.entr(probabilities).sum())
    border = near(np.argsort(distance), probabilities, mass)
    assert_same(chain.typical(whole(logits), off(typical_p=mass), ()), scores, border)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [1e-6, 0.05, 0.3, 0.99])
def test_min_p(size: int, share: float) -> None:
    logits = random_logits(5, size)
    assert_same(chain.min_p(whole(logits), off(min_p=share), ()), oracle(MinPLogitsWarper(share), logits))


@pytest.mark.parametrize("penalty", [0.5, 1.0, 1.1, 2.0])
@pytest.mark.parametrize("history", [[0], [3, 3, 3], [6, 2, 0, 2, 5, 6]])
def test_repetition_penalty(penalty: float, history: list[int]) -> None:
    logits = np.array([2.0, -1.0, 0.0, 3.0, -4.0, 0.25, -0.5])
    scores = oracle(RepetitionPenaltyLogitsProcessor(penalty), logits, history)
    assert_same(chain.penalties(whole(logits), off(repetition_penalty=penalty), history), scores)


@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from((7, 60, 3000)),
    temperature=st.floats(0.05, 5.0),
    k=st.integers(1, 4000),
    p=st.floats(0.01, 0.999),
    min_p=st.floats(1e-6, 0.5),
    typical=st.floats(0.01, 0.999),
    penalty=st.floats(0.5, 2.0),
)
def test_the_transformers_order_is_the_whole_chain_of_transformers(
    seed: int, size: int, temperature: float, k: int, p: float, min_p: float, typical: float, penalty: float
) -> None:
    logits = random_logits(seed, size)
    history = np.random.default_rng(seed).integers(0, size, 20).tolist()
    settings = Settings(
        order="transformers",
        temperature=temperature,
        top_k=k,
        top_p=p,
        min_p=min_p,
        typical_p=typical,
        repetition_penalty=penalty,
        penalty_window=-1,
    )
    processors = LogitsProcessorList(
        [
            RepetitionPenaltyLogitsProcessor(penalty),
            TemperatureLogitsWarper(temperature),
            TopKLogitsWarper(k),
            TopPLogitsWarper(p),
            MinPLogitsWarper(min_p),
            TypicalLogitsWarper(typical),
        ]
    )
    scores = oracle(processors, logits, history)
    pool = run_chain(logits, settings, history)
    np.testing.assert_array_equal(pool.ids, np.flatnonzero(np.isfinite(scores)))
    np.testing.assert_allclose(softmax(pool.logits), special.softmax(scores)[pool.ids], rtol=1e-9, atol=1e-12)


# --- worked by hand -------------------------------------------------------------------------------------------------

SIX = np.log([0.40, 0.25, 0.15, 0.10, 0.06, 0.04])


def test_llama_cpp_cuts_before_the_temperature() -> None:
    # The mass before each token is 0, .40, .65, .80, .90, .96: top-p .85 keeps four.
    # min-p .2 asks for .2 * .40 = .08 (the four add up to .9, which cancels): all four stay.
    # T = 0.5 squares them: .16, .0625, .0225, .01, together .255.
    pool = run_chain(SIX, off(temperature=0.5, top_p=0.85, min_p=0.2))
    assert pool.ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(softmax(pool.logits), np.array([0.16, 0.0625, 0.0225, 0.01]) / 0.255)


def test_transformers_cuts_after_the_temperature() -> None:
    # All six squared: .16, .0625, .0225, .01, .0036, .0016, together .2602, so the mass before each is
    # 0, .615, .855 ...: top-p .85 keeps two. The second has .0625 / .16 = .39 of the first, above min-p .2.
    pool = run_chain(SIX, off(temperature=0.5, top_p=0.85, min_p=0.2, order="transformers"))
    assert pool.ids.tolist() == [0, 1]
    np.testing.assert_allclose(softmax(pool.logits), np.array([0.16, 0.0625]) / 0.2225)


def test_a_high_temperature_lets_more_through_only_in_transformers_order() -> None:
    # At T = 5 the fifth roots .833, .758, .684, .631, .570, .525 add up to 4.001; the mass before each is
    # 0, .208, .398, .569, .726, .869: top-p .85 keeps five.
    assert len(run_chain(SIX, off(temperature=5.0, top_p=0.85)).ids) == 4
    assert len(run_chain(SIX, off(temperature=5.0, top_p=0.85, order="transformers")).ids) == 5


def test_each_step_sees_what_the_one_before_it_left() -> None:
    # Alone, top-p .6 keeps two (.40 is not enough). After top-k 2 the first has .40 / .65 = .615 and is enough.
    assert run_chain(SIX, off(top_p=0.6)).ids.tolist() == [0, 1]
    assert run_chain(SIX, off(top_k=2, top_p=0.6)).ids.tolist() == [0]


def test_a_mass_that_is_met_exactly_is_enough() -> None:
    # Four quarters; the mass before each is 0, .25, .5, .75, without rounding: kept while it is below p.
    quarters = np.zeros(4)
    for mass, count in ((0.25, 1), (0.5, 2), (0.75, 3), (0.76, 4)):
        assert len(chain.top_p(whole(quarters), off(top_p=mass), ()).ids) == count
        assert len(chain.typical(whole(quarters), off(typical_p=mass), ()).ids) == count
        assert np.isfinite(oracle(TopPLogitsWarper(mass), quarters)).sum() == count


def test_typical_by_hand() -> None:
    # p = .5, .25, .125, .125 has an entropy of 1.75 bits; the surprises 1, 2, 3, 3 are .75, .25, 1.25, 1.25 away.
    # In that order: id 1 (mass .25), id 0 (.75), id 2, id 3.
    logits = np.log([0.5, 0.25, 0.125, 0.125])
    assert chain.typical(whole(logits), off(typical_p=0.2), ()).ids.tolist() == [1]
    assert chain.typical(whole(logits), off(typical_p=0.5), ()).ids.tolist() == [0, 1]
    assert chain.typical(whole(logits), off(typical_p=0.8), ()).ids.tolist() == [0, 1, 2]


LOGITS = [2.0, -1.0, 0.5, 3.0]
HISTORY = [0, 1, 1, 0, 0, 2]


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        # id 0, three times:  2 / 2 - 3 * .25 - .5 = -.25
        # id 1, twice:       -1 * 2 - 2 * .25 - .5 = -3
        # id 2, once:        .5 / 2 - .25 - .5     = -.5
        (-1, [-0.25, -3.0, -0.5, 3.0]),
        (6, [-0.25, -3.0, -0.5, 3.0]),
        (1000, [-0.25, -3.0, -0.5, 3.0]),
        (2, [0.25, -1.0, -0.5, 3.0]),  # of the last two, id 0 occurs once: 2 / 2 - .25 - .5
        (1, [2.0, -1.0, -0.5, 3.0]),
        (0, LOGITS),
    ],
)
def test_penalties_by_hand(window: int, expected: list[float]) -> None:
    settings = off(repetition_penalty=2.0, presence_penalty=0.5, frequency_penalty=0.25, penalty_window=window)
    assert chain.penalties(whole(LOGITS), settings, HISTORY).logits.tolist() == expected


def test_presence_and_frequency_alone() -> None:
    presence = chain.penalties(whole(LOGITS), off(presence_penalty=1.5), HISTORY)
    assert presence.logits.tolist() == [0.5, -2.5, -1.0, 3.0]
    frequency = chain.penalties(whole(LOGITS), off(frequency_penalty=0.5), HISTORY)
    assert frequency.logits.tolist() == [0.5, -2.0, 0.0, 3.0]  # 3, 2, 1 and 0 times .5
    reward = chain.penalties(whole(LOGITS), off(frequency_penalty=-0.5), HISTORY)
    assert reward.logits.tolist() == [3.5, 0.0, 1.0, 3.0]


def test_penalties_leave_tokens_that_are_gone_alone() -> None:
    pool = Pool(np.array([1, 3]), np.array([1.0, 2.0]))
    after = chain.penalties(pool, off(presence_penalty=1.0), [0, 2, 3, 4, 500])
    assert (after.ids.tolist(), after.logits.tolist()) == ([1, 3], [1.0, 1.0])


@pytest.mark.parametrize("sampler", [sampler for _, sampler in CHAINS["llama.cpp"]])
def test_samplers_change_nothing_that_was_handed_to_them(sampler: Sampler) -> None:
    logits = random_logits(6, 50)
    pool = whole(logits.copy())
    sampler(pool, Settings(typical_p=0.5, repetition_penalty=1.5, presence_penalty=1.0), [1, 2, 3])
    np.testing.assert_array_equal(pool.logits, logits)
    np.testing.assert_array_equal(pool.ids, np.arange(50))


# --- edges ----------------------------------------------------------------------------------------------------------

ORDERS: tuple[Order, ...] = ("llama.cpp", "transformers")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("logits", "winner"), [([1.0, 3.0, 3.0, 3.0], 1), ([2.0, 2.0], 0), ([-5.0], 0)])
def test_temperature_0_takes_the_lowest_id_of_the_likeliest(order: Order, logits: list[float], winner: int) -> None:
    pool = run_chain(logits, Settings(temperature=0, order=order))
    assert pool.ids.tolist() == [winner]
    assert softmax(pool.logits).tolist() == [1.0]


@given(
    seed=st.integers(0, 999),
    order=st.sampled_from(ORDERS),
    typical=st.floats(0, 1),
    p=st.floats(0, 1),
    min_p=st.floats(0, 1),
    k=st.integers(0, 5),
    penalty=st.sampled_from([1.0, 1.3]),
)
def test_temperature_0_takes_what_transformers_takes_without_sampling(
    seed: int, order: Order, typical: float, p: float, min_p: float, k: int, penalty: float
) -> None:
    """Which then runs the penalties and none of the warpers."""
    logits, history = random_logits(seed, 40), (3, 7, 7)
    settings = Settings(
        temperature=0,
        typical_p=typical,
        top_p=p,
        min_p=min_p,
        top_k=k,
        order=order,
        repetition_penalty=penalty,
        penalty_window=-1,
    )
    expected = oracle(RepetitionPenaltyLogitsProcessor(penalty), logits, history) if penalty != 1 else logits
    assert run_chain(logits, settings, history).ids.tolist() == [int(np.argmax(expected))]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("value", [1e-38, 5e-324, 1e-5])
def test_a_temperature_near_0_shares_the_chance_among_equals(order: Order, value: float) -> None:
    with np.errstate(invalid="raise", divide="raise"):
        pool = run_chain([1.0, 3.0, 3.0, 2.9, -400.0], off(temperature=value, order=order))
    everyone = np.zeros(5)
    everyone[pool.ids] = softmax(pool.logits)
    np.testing.assert_array_equal(everyone, [0, 0.5, 0.5, 0, 0])


@pytest.mark.parametrize("value", [1000.0, 1e30, 1e308])
def test_a_huge_temperature_makes_all_alike(value: float) -> None:
    pool = run_chain(random_logits(7, 100), off(temperature=value))
    np.testing.assert_allclose(softmax(pool.logits), 0.01, rtol=0.05)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "settings",
    [{"top_p": 0.0}, {"typical_p": 0.0}, {"min_p": 1.0}, {"top_k": 1}, {"top_p": 5e-324}, {"typical_p": 5e-324}],
)
def test_the_tightest_cut_leaves_one(order: Order, settings: dict[str, Any]) -> None:
    assert len(run_chain(random_logits(8, 3000), off(order=order, **settings)).ids) == 1


def test_of_equals_the_lower_ids_stay() -> None:
    equal = [0.0, 1.0, 1.0, 1.0, 0.0]
    assert run_chain(equal, off(top_k=2)).ids.tolist() == [1, 2]
    assert run_chain(equal, off(top_k=4)).ids.tolist() == [0, 1, 2, 3]
    assert run_chain(equal, off(top_p=0.5)).ids.tolist() == [1, 2]  # e / (3e + 2) = .27 each
    assert run_chain(equal, off(min_p=1.0)).ids.tolist() == [1, 2, 3]  # at least as likely as the likeliest


def test_stages_that_are_off_do_nothing() -> None:
    for order in ORDERS:
        pool = run_chain([5.0, -np.inf, 4.0], off(top_k=3, order=order), [0, 0, 2])
        assert pool.ids.tolist() == [0, 1, 2]


@pytest.mark.parametrize("order", ORDERS)
def test_impossible_tokens_stay_impossible(order: Order) -> None:
    logits = np.full(50, -np.inf)
    logits[[7, 31]] = [1.0, 2.0]
    settings = Settings(
        order=order,
        typical_p=0.99,
        repetition_penalty=1.3,
        presence_penalty=1.0,
        frequency_penalty=-1.0,
        penalty_window=-1,
    )
    with np.errstate(all="raise", under="ignore"):
        pool = run_chain(logits, settings, [0, 7, 0, 12])
    probabilities = softmax(pool.logits)
    assert np.isclose(probabilities.sum(), 1)
    assert {draw(pool, probabilities, u) for u in (0.0, 0.5, 1 - 2**-53)} <= {7, 31}


@pytest.mark.parametrize("penalty", [0.01, 100.0])
def test_the_strongest_penalties_leave_a_distribution(penalty: float) -> None:
    settings = off(repetition_penalty=penalty, presence_penalty=-100, frequency_penalty=-100)
    probabilities = softmax(run_chain(random_logits(9, 30), settings, [3] * 500 + [4]).logits)
    assert np.isclose(probabilities.sum(), 1)
    assert probabilities.argmax() == 3


def test_an_extreme_pool_is_normalised_without_overflow() -> None:
    np.testing.assert_allclose(softmax(np.array([1e300, 1e300, -1e300])), [0.5, 0.5, 0])
    logits = random_logits(10, 5000, 50.0)
    np.testing.assert_allclose(softmax(logits), special.softmax(logits), rtol=1e-12)


# --- order and the shortcut through the head ------------------------------------------------------------------------

few_values = st.lists(st.sampled_from([-math.inf, -1.0, 0.0, 0.5, 2.0]), min_size=1, max_size=40)


@given(values=few_values, count=st.integers(0, 45))
def test_best_is_the_head_of_the_sorted_list(values: list[float], count: int) -> None:
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    assert best(np.array(values), count).tolist() == expected


def tied_logits(seed: int, scale: float) -> Floats:
    """More tokens than the head holds, many of them exactly alike."""
    return np.round(random_logits(seed, 5000, scale), 1)


@given(seed=st.integers(0, 10_000), scale=st.sampled_from((0.05, 1.0, 4.0)), mass=st.floats(0, 1, exclude_max=True))
def test_the_shortcut_through_the_head_cuts_like_the_whole_list(seed: int, scale: float, mass: float) -> None:
    logits = tied_logits(seed, scale)
    probabilities = softmax(logits)
    order = np.lexsort((np.arange(len(logits)), -logits))
    expected: list[int] = []
    total = 0.0
    for i in order.tolist():
        if expected and total >= mass:
            break
        expected.append(i)
        total += float(probabilities[i])
    assert run_chain(logits, off(top_p=mass)).ids.tolist() == sorted(expected)


@given(seed=st.integers(0, 10_000), scale=st.sampled_from((0.05, 1.0, 4.0)), uniform=st.floats(0, 1, exclude_max=True))
def test_the_shortcut_through_the_head_draws_like_the_whole_list(seed: int, scale: float, uniform: float) -> None:
    logits = tied_logits(seed, scale)
    probabilities = softmax(logits)
    order = np.lexsort((np.arange(len(logits)), -logits))
    ends = np.cumsum(probabilities[order])
    expected = next((i for i, end in zip(order.tolist(), ends.tolist(), strict=True) if uniform < end), int(order[-1]))
    assert draw(whole(logits), probabilities, uniform) == expected


# --- the draw -------------------------------------------------------------------------------------------------------

LAST = 1 - 2**-53  # the largest number the dice can show


@pytest.mark.parametrize(
    ("uniform", "chosen"),
    [
        # ids 4, 9, 2, 7 by falling logit; their shares end at .5, .75, .875 and 1
        (0.0, 4),
        (0.5 - 2**-53, 4),
        (0.5, 9),
        (0.75 - 2**-53, 9),
        (0.75, 2),
        (0.875 - 2**-53, 2),
        (0.875, 7),
        (LAST, 7),
    ],
)
def test_each_token_holds_its_own_share_of_the_line(uniform: float, chosen: int) -> None:
    pool = Pool(np.array([2, 4, 7, 9]), np.array([1.0, 3.0, 0.0, 2.0]))
    assert draw(pool, np.array([0.125, 0.5, 0.125, 0.25]), uniform) == chosen


def test_equals_are_laid_out_by_id() -> None:
    pool = Pool(np.array([3, 5, 8, 9]), np.array([1.0, 1.0, 1.0, 1.0]))
    assert [draw(pool, np.full(4, 0.25), u) for u in (0.0, 0.25, 0.5, 0.75)] == [3, 5, 8, 9]


def test_a_sum_a_hair_below_1_never_draws_the_impossible() -> None:
    pool = Pool(np.arange(4), np.array([0.0, -1.0, -np.inf, -np.inf]))
    assert draw(pool, np.array([0.75, 0.25 - 2**-50, 0.0, 0.0]), LAST) == 1
    assert draw(Pool(np.arange(2), np.array([-np.inf, 0.0])), np.array([0.0, 1.0]), 0.0) == 1


def test_a_single_candidate_is_always_drawn() -> None:
    pool = Pool(np.array([17]), np.array([-3.0]))
    assert {draw(pool, np.array([1.0]), u) for u in (0.0, 0.3, LAST)} == {17}


# Sizes on either side of what is sorted at once, and of the blocks whose largest are looked at first.
WHOLE = (1, 40, 255, 256, 257, 1023, 2047, 2048, 2049, 4096, 9000, 50_000)


def with_ties(seed: int, size: int) -> Floats:
    """Logits as a model in bfloat16 gives them: many are equal, some are minus infinity."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0.0, generator.choice([0.3, 3.0]), size).astype(np.float32)
    logits = (logits.view(np.uint32) & 0xFFFF0000).view(np.float32)
    logits[1:][generator.random(size - 1) < 0.05] = -math.inf
    return logits.astype(np.float64)


@pytest.mark.parametrize("size", WHOLE)
def test_the_best_of_many_are_the_head_of_a_stable_sort_to_the_last_tie(size: int) -> None:
    for seed in range(3):
        logits = with_ties(seed, size)
        order = np.argsort(-logits, kind="stable")
        assert size < 300 or len(np.unique(logits)) < size, "nothing is equal: the example shows nothing"
        for count in (0, 1, 2, 20, 40, 257, size // 2, size - 1, size, size + 1):
            np.testing.assert_array_equal(best(logits, count), order[:count])


@pytest.mark.parametrize("size", WHOLE)
def test_a_draw_is_that_from_the_whole_list_sorted_and_added_up(size: int) -> None:
    """To the last bit: looking at the head alone must never change what a seed gives."""
    logits = with_ties(1, size)
    pool, probabilities = whole(logits), softmax(logits)
    order = np.argsort(-logits, kind="stable")
    ends = np.cumsum(probabilities[order])
    border = [min(float(end), LAST) for end in ends[:: max(1, size // 50)]]
    for uniform in [*border, *(max(0.0, math.nextafter(one, 0)) for one in border), *np.linspace(0, LAST, 50).tolist()]:
        at = int((ends <= uniform).sum())
        while at >= size or probabilities[order[at]] == 0:
            at -= 1
        assert draw(pool, probabilities, uniform) == order[at]


@pytest.mark.parametrize("size", WHOLE)
@pytest.mark.parametrize("mass", MASSES)
def test_top_p_keeps_what_the_whole_list_sorted_and_added_up_says(size: int, mass: float) -> None:
    logits = with_ties(2, size)
    probabilities = softmax(logits)
    order = np.argsort(-logits, kind="stable")
    enough = int((np.cumsum(probabilities[order]) < mass).sum()) + 1
    kept = chain.top_p(whole(logits), off(top_p=mass), ())
    np.testing.assert_array_equal(kept.ids, np.sort(order[:enough]))


@pytest.mark.parametrize("size", WHOLE)
@pytest.mark.parametrize("k", [1, 2, 40, 300])
def test_top_k_keeps_the_lower_ids_of_equals_in_a_large_vocabulary_too(size: int, k: int) -> None:
    logits = with_ties(3, size)
    kept = chain.top_k(whole(logits), off(top_k=k), ())
    np.testing.assert_array_equal(kept.ids, np.sort(np.argsort(-logits, kind="stable")[:k]))
    np.testing.assert_array_equal(kept.logits, logits[kept.ids])


def frequencies(logits: Floats, settings: Settings, draws: int = 20_000) -> tuple[NDArray[np.int64], Floats]:
    """How often each token of a pool comes up over many positions, and how likely each is."""
    pool = run_chain(logits, settings)
    probabilities = softmax(pool.logits)
    drawn = [draw(pool, probabilities, dice(42, position)) for position in range(draws)]
    return np.array([drawn.count(token_id) for token_id in pool.ids.tolist()]), probabilities


@pytest.mark.parametrize(
    "settings", [off(), off(temperature=2.0), Settings(), Settings(order="transformers", temperature=1.5)]
)
def test_tokens_come_up_as_often_as_they_should(settings: Settings) -> None:
    counts, probabilities = frequencies(random_logits(11, 40, 1.5), settings)
    expected = probabilities * counts.sum()
    large = expected >= 5  # chi-square wants no smaller bins: the others share one
    counts = np.append(counts[large], counts[~large].sum())
    expected = np.append(expected[large], expected[~large].sum())
    there = expected > 0
    assert stats.chisquare(counts[there], expected[there]).pvalue > 0.001


def test_the_count_of_draws_would_notice_a_slightly_wrong_temperature() -> None:
    logits = random_logits(11, 12, 1.5)
    counts, _ = frequencies(logits, off(temperature=1.1))
    assert stats.chisquare(counts, special.softmax(logits) * counts.sum()).pvalue < 1e-6


# --- the dice -------------------------------------------------------------------------------------------------------


def test_the_dice_are_uniform() -> None:
    thrown = [dice(7, position) for position in range(20_000)]
    assert stats.kstest(thrown, "uniform").pvalue > 0.001
    assert min(thrown) >= 0
    assert max(thrown) < 1


def test_the_dice_of_different_seeds_and_positions_have_nothing_in_common() -> None:
    assert len({dice(seed, position) for seed in range(100) for position in range(100)}) == 10_000
    one, other = ([dice(seed, position) for position in range(5000)] for seed in (1, 2))
    assert stats.pearsonr(one, other).pvalue > 0.001
    assert stats.pearsonr(one[1:], one[:-1]).pvalue > 0.001


def test_the_dice_are_the_same_in_every_process() -> None:
    program = "from core.sampling.dice import dice; print(dice(3, 5).hex(), dice(2**64 - 1, 10**6).hex())"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == [dice(3, 5).hex(), dice(2**64 - 1, 10**6).hex()]


def test_moving_the_temperature_never_moves_the_luck() -> None:
    # The same number always falls on the same or a likelier token as the temperature goes down.
    logits = random_logits(12, 200)
    for position in range(50):
        ranks = []
        for value in (5.0, 2.0, 1.0, 0.5, 0.1, 0.0):
            pool = run_chain(logits, off(temperature=value))
            chosen = draw(pool, softmax(pool.logits), dice(0, position))
            ranks.append(int((logits > logits[chosen]).sum()))
        assert ranks == sorted(ranks, reverse=True)
