"""Selectors: what they pick, how they are written, what they refuse."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from faults.process import ProcessKill
from faults.select import ProcessSelector, Selector, natural_key, shortened

LISTS = st.lists(st.integers(), min_size=1, max_size=40, unique=True)


def picked(text: str, ordered: list[int], seed: int = 0) -> tuple[int, ...]:
    return Selector.model_validate(text).apply(ordered, random.Random(seed))  # noqa: S311 - reproducible choice


@pytest.mark.parametrize("text", ["first", "all", "random", "index:1", "percent:50", "percent:12.5"])
def test_the_text_form_survives_a_round_trip(text: str) -> None:
    selector = Selector.model_validate(text)
    assert str(selector) == text
    dumped: object = selector.model_dump(mode="json")
    assert dumped == text
    assert Selector.model_validate(dumped) == selector


def test_the_mapping_forms_mean_the_same() -> None:
    assert Selector.model_validate({"index": 2}) == Selector.model_validate("index:2")
    assert Selector.model_validate({"percent": 50}) == Selector.model_validate("percent:50")
    assert Selector.model_validate({"pick": "all"}) == Selector.model_validate("all")


@pytest.mark.parametrize(
    ("given_text", "says"),
    [
        ("second", "is not a selector; write first, all, random"),
        ("", "is not a selector"),
        ("index", "index needs a whole number from 0"),
        ("index:-1", "index needs a whole number from 0"),
        ("index:1.5", "index needs a whole number from 0"),
        ("percent:0", "percent needs a number above 0"),
        ("percent:101", "percent needs a number above 0"),
        ("first:1", "first takes no number"),
        ("index:x", "valid number"),
    ],
)
def test_bad_selectors_say_what_would_be_right(given_text: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Selector.model_validate(given_text)


def test_simple_picks() -> None:
    assert picked("first", [5, 6, 7]) == (5,)
    assert picked("all", [5, 6, 7]) == (5, 6, 7)
    assert picked("index:1", [5, 6, 7]) == (6,)
    assert picked("index:3", [5, 6, 7]) == ()
    for text in ("first", "all", "random", "index:0", "percent:50"):
        assert picked(text, []) == ()


@given(ordered=LISTS, percent=st.floats(min_value=0.001, max_value=100), seed=st.integers())
def test_percent_rounds_up_and_is_at_least_one(ordered: list[int], percent: float, seed: int) -> None:
    chosen = Selector(pick="percent", value=percent).apply(ordered, random.Random(seed))  # noqa: S311 - reproducible choice
    exact = len(ordered) * percent / 100
    assert 1 <= len(chosen) <= len(ordered)
    assert len(chosen) == max(1, math.ceil(round(exact, 9)))
    assert list(chosen) == [one for one in ordered if one in set(chosen)]


@given(ordered=LISTS, text=st.sampled_from(["random", "percent:30"]), seed=st.integers())
def test_a_seed_decides(ordered: list[int], text: str, seed: int) -> None:
    assert picked(text, ordered, seed) == picked(text, ordered, seed)


@pytest.mark.parametrize("text", ["random", "percent:10"])
def test_different_seeds_reach_every_one(text: str) -> None:
    assert {one for seed in range(200) for one in picked(text, list(range(5)), seed)} == set(range(5))


def test_a_third_is_one_of_three_in_spite_of_floats() -> None:
    assert len(picked(f"percent:{100 / 3}", [1, 2, 3])) == 1


def test_process_selector_forms() -> None:
    assert ProcessSelector.model_validate("VLLM::EngineCore") == ProcessSelector(pattern="VLLM::EngineCore")
    assert ProcessSelector.model_validate({"pattern": "x", "pick": "index:1"}).pick == Selector(pick="index", value=1)
    with pytest.raises(ValidationError, match="is not a regular expression"):
        ProcessSelector(pattern="(")


def test_a_fault_accepts_the_texts_of_a_command_line() -> None:
    fault = ProcessKill.model_validate({"component": "decode, worker", "instances": "percent:50", "processes": "a.*b"})
    assert fault.component == ("decode", "worker")
    assert str(fault.instances) == "percent:50"
    assert ProcessKill.model_validate(fault.model_dump(mode="json")) == fault


def test_natural_order() -> None:
    names = ["worker-10", "worker-2", "frontend-0", "worker-1"]
    assert sorted(names, key=natural_key) == ["frontend-0", "worker-1", "worker-2", "worker-10"]


def test_lists_are_shortened() -> None:
    assert shortened([]) == "nothing"
    text = shortened([f"{'x' * 100}{n}" for n in range(9)], most=2, width=10)
    assert text == "xxxxxxx..., xxxxxxx... and 7 more"
