"""What may be set, and what a person is told otherwise."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from core.errors import BadSetting
from core.settings import ORDERS, Settings


@pytest.mark.parametrize(
    "allowed",
    [
        {"temperature": 0},
        {"temperature": 1e-38},
        {"temperature": 5.0},
        {"temperature": 1000.0},
        {"top_k": 0},
        {"top_k": 10**6},
        {"top_k": 10**400},
        {"top_p": 0.0},
        {"top_p": 1.0},
        {"min_p": 0.0},
        {"min_p": 1.0},
        {"typical_p": 0.0},
        {"repetition_penalty": 0.5},
        {"presence_penalty": -2.0},
        {"frequency_penalty": 2.0},
        {"penalty_window": -1},
        {"penalty_window": 0},
        {"seed": 0},
        {"seed": 2**64 - 1},
        {"seed": None},
        {"max_tokens": 1},
        {"max_tokens": None},
        {"stop": ("\n\n", "END")},
        *({"order": order} for order in ORDERS),
    ],
)
def test_allowed(allowed: dict[str, Any]) -> None:
    ((name, value),) = allowed.items()
    assert getattr(Settings(**allowed), name) == value


@pytest.mark.parametrize(
    "refused",
    [
        {"temperature": -0.1},
        {"temperature": math.inf},
        {"temperature": math.nan},
        {"top_k": -1},
        {"top_p": 1.01},
        {"top_p": -0.01},
        {"top_p": math.nan},
        {"min_p": 1.5},
        {"min_p": -1.0},
        {"typical_p": 2.0},
        {"typical_p": math.nan},
        {"repetition_penalty": 0.0},
        {"repetition_penalty": -1.0},
        {"repetition_penalty": 1e-320},  # would divide into infinity
        {"repetition_penalty": math.inf},
        {"repetition_penalty": math.nan},
        {"presence_penalty": 101.0},
        {"presence_penalty": math.nan},
        {"frequency_penalty": -math.inf},
        {"penalty_window": -2},
        {"seed": -1},
        {"seed": 2**64},
        {"max_tokens": 0},
        {"max_tokens": -5},
        {"order": "alphabetical"},
    ],
)
def test_refused_with_the_name_the_value_and_what_to_do(refused: dict[str, Any]) -> None:
    ((name, value),) = refused.items()
    with pytest.raises(BadSetting) as caught:
        Settings(**refused)
    assert str(value) in caught.value.message
    assert name in caught.value.message
    assert caught.value.hint.endswith(".")
    assert str(caught.value) == f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("name", ["temperature", "top_p", "repetition_penalty", "presence_penalty"])
def test_a_number_without_end_is_refused_for_that(name: str, value: float) -> None:
    with pytest.raises(BadSetting, match=f"{name} must be a finite number, (at least|between) .*, not {value}"):
        Settings(**{name: value})


@pytest.mark.parametrize("stop", [("",), ("END", "")])
def test_an_empty_stop_string_is_refused(stop: tuple[str, ...]) -> None:
    with pytest.raises(BadSetting):
        Settings(stop=stop)


def test_a_changed_copy_is_checked_too() -> None:
    settings = Settings()
    assert replace(settings, temperature=2.0).temperature == 2.0
    with pytest.raises(BadSetting):
        replace(settings, temperature=-1.0)
    with pytest.raises(FrozenInstanceError):
        settings.temperature = 3.0  # type: ignore[misc]


def test_the_defaults_are_llama_cpps() -> None:
    """common/common.h of llama.cpp: the values a person who comes from there expects."""
    settings = Settings()
    assert (settings.temperature, settings.top_k, settings.top_p, settings.min_p) == (0.8, 40, 0.95, 0.05)
    assert (settings.typical_p, settings.repetition_penalty, settings.penalty_window) == (1.0, 1.0, 64)
    assert (settings.presence_penalty, settings.frequency_penalty) == (0.0, 0.0)


def test_a_whole_number_too_large_for_a_float_is_refused_like_any_other() -> None:
    with pytest.raises(BadSetting, match="top_p must be between 0 and 1, not 1"):
        Settings(top_p=10**400)
