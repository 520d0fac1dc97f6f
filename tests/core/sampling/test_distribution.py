"""What is recorded of a step, against scipy in float64 and a chain re-run stage by stage."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special

from core.records import Prediction
from core.sampling.chain import CHAINS, Pool
from core.sampling.distribution import Distribution, entropy_bits
from core.settings import ORDERS, Order, Settings
from core.text.tokenizer import Tokenizer

HISTORY = [5, 5, 9, 200, 31]
TOUGH: dict[str, Any] = {
    "temperature": 1.3,
    "top_k": 60,
    "top_p": 0.9,
    "min_p": 0.02,
    "typical_p": 0.97,
    "repetition_penalty": 1.2,
    "presence_penalty": 0.3,
}


def random_logits(seed: int, size: int = 360, scale: float = 3.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, scale, size).astype(np.float32)


def predict(tokenizer: Tokenizer, logits: NDArray[np.float32], top: int = 20, **settings: Any) -> Prediction:
    return Distribution.of(logits, Settings(**settings), HISTORY).prediction(tokenizer, top)


@pytest.mark.parametrize("size", [1, 2, 360, 50_000])
@pytest.mark.parametrize("scale", [0.1, 3.0, 40.0])
def test_the_raw_distribution_is_scipys(size: int, scale: float) -> None:
    logits = random_logits(1, size, scale)
    distribution = Distribution.of(logits, Settings(**TOUGH), HISTORY)
    wide = logits.astype(np.float64)
    np.testing.assert_allclose(distribution.raw, special.softmax(wide), rtol=1e-12)
    for token_id in {0, size // 2, size - 1, int(wide.argmax()), int(wide.argmin())}:
        assert math.isclose(distribution.logprob(token_id), special.log_softmax(wide)[token_id], rel_tol=1e-12)


def test_a_logprob_is_finite_where_the_probability_underflows() -> None:
    logits = np.array([0.0, -2000.0], dtype=np.float32)
    distribution = Distribution.of(logits, Settings(), [])
    assert distribution.raw[1] == 0
    assert distribution.logprob(1) == special.log_softmax(logits.astype(np.float64))[1] == -2000


@pytest.mark.parametrize("scale", [0.0, 0.1, 3.0, 40.0, 500.0])
def test_entropies_are_scipys(tokenizer: Tokenizer, scale: float) -> None:
    logits = random_logits(2, scale=scale)
    prediction = predict(tokenizer, logits, **TOUGH)
    distribution = Distribution.of(logits, Settings(**TOUGH), HISTORY)
    bits = special.entr(special.softmax(logits.astype(np.float64))).sum() / math.log(2)
    assert math.isclose(prediction.entropy_bits, bits, rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(prediction.choices, 2**bits, rel_tol=1e-9)
    bits = special.entr(special.softmax(distribution.pool.logits)).sum() / math.log(2)
    assert math.isclose(prediction.chain_entropy_bits, bits, rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(prediction.chain_choices, 2**bits, rel_tol=1e-9)


@pytest.mark.parametrize("size", [2, 16_383, 16_384, 16_385, 40_000])
@pytest.mark.parametrize("scale", [0.1, 4.0])
def test_sums_over_a_large_vocabulary_are_scipys(tokenizer: Tokenizer, size: int, scale: float) -> None:
    """The sums are made in pieces: the listed tokens stand on the edges of these, and some are impossible."""
    logits = random_logits(8, size, scale)
    edges = sorted({0, 1, size // 2, size - 1, *(at for at in (16_383, 16_384, 32_768) if at < size)})
    logits[edges] = logits.max() + np.arange(len(edges), dtype=np.float32)
    logits[2 : size // 3 : 5] = -math.inf
    prediction = predict(tokenizer, logits, len(edges), temperature=1.0, top_k=0, top_p=1.0, min_p=0.0)
    raw = special.softmax(logits.astype(np.float64))
    assert {candidate.id for candidate in prediction.candidates} == set(edges)
    for candidate in prediction.candidates:
        assert math.isclose(candidate.raw_probability, raw[candidate.id], rel_tol=1e-12)
        assert math.isclose(candidate.probability, raw[candidate.id], rel_tol=1e-12)
    raw_entropy = special.entr(raw).sum() / math.log(2)
    for entropy in (prediction.entropy_bits, prediction.chain_entropy_bits):
        assert math.isclose(entropy, raw_entropy, rel_tol=1e-10)
    raw[edges] = 0
    for rest in (prediction.rest_raw_probability, prediction.rest_probability):
        assert math.isclose(rest, raw.sum(), rel_tol=1e-10)


def test_entropy_by_hand() -> None:
    assert entropy_bits(np.array([0.5, 0.25, 0.125, 0.125])) == 1.75  # .5 * 1 + .25 * 2 + 2 * .125 * 3
    assert entropy_bits(np.array([1.0, 0.0])) == 0.0
    assert math.isclose(entropy_bits(np.full(8, 1 / 8)), 3.0)


@given(
    seed=st.integers(0, 1000),
    scale=st.sampled_from((0.01, 1.0, 3.0, 30.0)),
    top=st.sampled_from((0, 1, 5, 20, 359, 360, 1000)),
    temperature=st.sampled_from((0.0, 0.1, 1.0, 5.0)),
    top_k=st.sampled_from((0, 1, 40)),
    top_p=st.sampled_from((0.0, 0.5, 1.0)),
    order=st.sampled_from(ORDERS),
)
def test_what_is_listed_and_the_rest_make_up_everything(
    tokenizer: Tokenizer,
    seed: int,
    scale: float,
    top: int,
    temperature: float,
    top_k: int,
    top_p: float,
    order: Order,
) -> None:
    logits = random_logits(seed, scale=scale)
    settings = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "order": order}
    prediction = predict(tokenizer, logits, top, **settings)
    listed = [candidate.id for candidate in prediction.candidates]
    assert len(set(listed)) == len(listed)
    assert len(listed) + prediction.rest_count == len(logits)
    raw = sum(c.raw_probability for c in prediction.candidates) + prediction.rest_raw_probability
    assert math.isclose(raw, 1, abs_tol=1e-12)
    chained = sum(c.probability for c in prediction.candidates) + prediction.rest_probability
    assert math.isclose(chained, 1, abs_tol=1e-12)


@pytest.mark.parametrize("temperature", [0.05, 1.0, 5.0])
def test_a_small_rest_is_exact(tokenizer: Tokenizer, temperature: float) -> None:
    """One minus the listed would be all rounding here: the rest is down to 1e-40."""
    logits = np.linspace(20, -20, 360, dtype=np.float32)
    prediction = predict(tokenizer, logits, 100, temperature=temperature, top_k=0, top_p=1.0, min_p=0.0)
    wide = logits.astype(np.float64)
    np.testing.assert_allclose(prediction.rest_raw_probability, special.softmax(wide)[100:].sum(), rtol=1e-9)
    shaped = special.softmax((wide - wide.max()) / temperature)
    np.testing.assert_allclose(prediction.rest_probability, shaped[100:].sum(), rtol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("seed", range(5))
def test_every_cut_token_names_the_stage_that_cut_it(tokenizer: Tokenizer, order: Order, seed: int) -> None:
    logits = random_logits(seed)
    settings = Settings(**TOUGH, order=order)
    prediction = predict(tokenizer, logits, len(logits), **TOUGH, order=order)
    assert len(prediction.candidates) == len(logits)
    left: list[set[int]] = []  # after each stage
    pool = Pool(np.arange(len(logits)), logits.astype(np.float64))
    for name, step in CHAINS[order]:
        pool = step(pool, settings, HISTORY)
        left.append(set(pool.ids.tolist()))
        assert prediction.stages[len(left) - 1].name == name
        assert prediction.stages[len(left) - 1].alive == len(left[-1])
    names = [name for name, _ in CHAINS[order]]
    for candidate in prediction.candidates:
        gone = [name for name, alive in zip(names, left, strict=True) if candidate.id not in alive]
        assert candidate.cut_by == (gone[0] if gone else None)
        assert candidate.kept == (not gone)
        assert (candidate.probability > 0) == candidate.kept
    assert len({c.cut_by for c in prediction.candidates}) >= 4, "the example cuts by too few stages to show anything"


def test_who_was_cut_by_whom_by_hand(tokenizer: Tokenizer) -> None:
    # top-k 4 leaves .40 .25 .15 .10 of .90; the mass before each is 0, .44, .72, .89: top-p .8 cuts the fourth;
    # min-p .5 asks for half of the first: .15 < .20 goes.
    logits = np.log([0.40, 0.25, 0.15, 0.10, 0.06, 0.04]).astype(np.float32)
    prediction = predict(tokenizer, logits, 6, temperature=1.0, top_k=4, top_p=0.8, min_p=0.5)
    assert [c.cut_by for c in prediction.candidates] == [None, None, "min-p", "top-p", "top-k", "top-k"]
    assert [(s.name, s.alive) for s in prediction.stages] == [
        ("penalties", 6),
        ("top-k", 4),
        ("typical", 4),
        ("top-p", 3),
        ("min-p", 2),
        ("temperature", 2),
    ]
    np.testing.assert_allclose([c.probability for c in prediction.candidates[:2]], [0.40 / 0.65, 0.25 / 0.65], 1e-6)


def test_at_temperature_0_the_temperature_is_what_cuts(tokenizer: Tokenizer) -> None:
    prediction = predict(tokenizer, random_logits(3), 5, temperature=0.0, top_k=0, top_p=1.0, min_p=0.0)
    assert [c.cut_by for c in prediction.candidates] == [None] + ["temperature"] * 4
    assert prediction.candidates[0].probability == 1.0
    assert prediction.rest_probability == 0.0


def test_ranks_count_from_1_and_equals_go_by_id(tokenizer: Tokenizer) -> None:
    logits = np.array([1.0, 3.0, -math.inf, 3.0, 0.5, 1.0], dtype=np.float32)
    distribution = Distribution.of(logits, Settings(), [])
    order = sorted(range(6), key=lambda i: (-logits[i], i))
    assert [distribution.rank(i) for i in order] == [1, 2, 3, 4, 5, 6]
    listed = distribution.prediction(tokenizer, 6)
    assert {c.id: c.rank for c in listed.candidates} == {token_id: rank for rank, token_id in enumerate(order, start=1)}


def test_the_favourites_before_and_after_the_chain_are_both_listed(tokenizer: Tokenizer) -> None:
    logits = np.zeros(360, dtype=np.float32)
    logits[:10] = np.arange(30, 20, -1)
    settings: dict[str, Any] = {
        "repetition_penalty": 100.0,
        "penalty_window": -1,
        "top_k": 0,
        "top_p": 1.0,
        "min_p": 0.0,
    }
    distribution = Distribution.of(logits, Settings(**settings), list(range(9)))  # only token 9 was never said
    listed = [candidate.id for candidate in distribution.prediction(tokenizer, 3).candidates]
    assert listed[0] == 9
    assert {0, 1, 2} <= set(listed)
    assert len(listed) <= 6


@pytest.mark.parametrize("token_id", [0, 17, 359])
def test_the_chosen_one_is_always_listed(tokenizer: Tokenizer, token_id: int) -> None:
    logits = random_logits(4)
    logits[token_id] = logits.min() - 1  # the least likely of all
    distribution = Distribution.of(logits, Settings(), [])
    prediction = distribution.prediction(tokenizer, 20, also=token_id)
    (chosen,) = (c for c in prediction.candidates if c.id == token_id)
    assert chosen.rank == 360
    assert (chosen.text, chosen.bytes) == (tokenizer.token_text(token_id), tokenizer.token_bytes(token_id))
    assert token_id not in [c.id for c in distribution.prediction(tokenizer, 20).candidates]


def test_candidates_come_likeliest_first_and_carry_the_models_own_numbers(tokenizer: Tokenizer) -> None:
    logits = random_logits(5)
    prediction = predict(tokenizer, logits, 50, **TOUGH)
    chances = [(-c.probability, c.rank) for c in prediction.candidates]
    assert chances == sorted(chances)
    raw = special.softmax(logits.astype(np.float64))
    for candidate in prediction.candidates:
        assert candidate.logit == logits[candidate.id]  # before the penalties
        assert math.isclose(candidate.raw_probability, raw[candidate.id], rel_tol=1e-12)
    assert prediction.settings == Settings(**TOUGH)


def test_chances_after_the_chain(tokenizer: Tokenizer) -> None:
    distribution = Distribution.of(random_logits(6), Settings(**TOUGH), HISTORY)
    chances = np.array([distribution.chain_probability(token_id) for token_id in range(360)])
    expected = np.zeros(360)
    expected[distribution.pool.ids] = special.softmax(distribution.pool.logits)
    np.testing.assert_allclose(chances, expected, rtol=1e-12)


def test_logits_are_not_changed(tokenizer: Tokenizer) -> None:
    logits = random_logits(7)
    before = logits.copy()
    distribution = Distribution.of(logits, Settings(**TOUGH), HISTORY)
    once, again = distribution.prediction(tokenizer, 20), distribution.prediction(tokenizer, 20)
    assert once == again
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(distribution.logits, before)


def test_the_model_may_write_its_next_logits_where_it_wrote_these(tokenizer: Tokenizer) -> None:
    logits = random_logits(7)
    distribution = Distribution.of(logits, Settings(**TOUGH), HISTORY)
    before = distribution.prediction(tokenizer, 20)
    logits[:] = 0
    assert distribution.prediction(tokenizer, 20) == before
