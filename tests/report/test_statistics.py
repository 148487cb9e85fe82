"""Statistics against known answers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.report.statistics import bootstrap, means, medians, quantile, spread, trend


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(0, 1))
def test_quantiles_are_numpys(values: list[float], share: float) -> None:
    heap = np.sort(np.array(values))
    assert quantile(heap, share) == pytest.approx(float(np.quantile(heap, share)), abs=1e-6)


def test_a_spread_with_runs_that_did_not_end() -> None:
    found = spread([1.0, 2.0, 3.0], [0.5])
    assert (found.count, found.open_ended) == (4, 1)
    assert (found.least, found.p25, found.median) == (0.5, 1.75, 2.5)
    assert found.p90 is None
    assert found.most is None
    assert spread([]).count == 0


def test_a_trend_is_found_and_one_wild_run_does_not_make_one() -> None:
    days = list(range(12))
    rising = trend(days, [5 + 0.5 * d for d in days])
    assert rising.value == pytest.approx(0.5)
    assert rising.low == rising.high == pytest.approx(0.5)
    level = [5.0] * 12
    level[7] = 500.0
    flat = trend(days, level)
    assert flat.value == 0
    assert flat.low is not None
    assert flat.high is not None
    assert flat.low <= 0 <= flat.high


def test_sens_interval_is_the_textbooks() -> None:
    """Sen 1968's example: 5 slopes of 7 points would not do here, so the order statistics are counted by hand."""
    days, values = [0, 1, 2, 3, 4, 5], [1.0, 3.0, 2.0, 5.0, 4.0, 6.0]
    slopes = sorted((values[j] - values[i]) / (days[j] - days[i]) for i in range(6) for j in range(i + 1, 6))
    reach = 1.959964 * math.sqrt(6 * 5 * 17 / 18)
    found = trend(days, values)
    assert (found.value, found.low, found.high) == (
        np.median(slopes), slopes[round((15 - reach) / 2)], slopes[round((15 + reach) / 2)],
    )  # fmt: skip


def test_too_few_or_all_at_once_give_no_trend() -> None:
    assert trend([0, 1, 2], [1, 2, 3]).value is None
    assert trend([1.0] * 9, [1.0] * 9).value is None
    assert trend(list(range(4000)), [0.0] * 4000).value == 0


def test_medians_of_rows_with_infinities() -> None:
    rows = np.array([[1.0, 2.0, math.inf], [1.0, math.inf, math.inf]])
    assert medians(rows).tolist() == [2.0, math.inf]
    assert medians(np.array([[1.0, math.inf]])).tolist() == [math.inf]
    assert medians(np.array([[3.0, 1.0, 2.0, 4.0]])).tolist() == [2.5]


def test_the_bootstrap_is_seeded_and_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(60):
        first, second = rng.normal(10, 2, 40), rng.normal(12, 2, 40)
        found = bootstrap(first, second, means, seed)
        assert found == bootstrap(first, second, means, seed)
        change = found[2]
        assert change.low is not None
        assert change.high is not None
        covered += change.low <= 2 <= change.high
    assert covered >= 50, "95 % intervals hold the truth nearly always"


def test_few_figures_get_no_interval() -> None:
    one, two, change, word = bootstrap(np.array([1.0, 2.0]), np.array([5.0, 6.0, 7.0]), medians, 1)
    assert (one.value, two.value, change.value) == (1.5, 6.0, 4.5)
    assert one.low is change.low is change.high is None
    assert word == "too little data"


def test_a_side_without_an_end_leaves_no_end() -> None:
    open_ended = np.array([math.inf] * 8)
    one, two, change, word = bootstrap(np.arange(8.0), open_ended, medians, 1)
    assert one.value == 3.5
    assert two.value is None
    assert change.value is None
    assert word == "higher"
    assert bootstrap(open_ended, open_ended, medians, 1).word == "no difference shown"
