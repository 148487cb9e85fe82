"""Background errors become neither impact nor a relapse; an outage among them is still found."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.measure.baseline import Baseline
from monitor.measure.excess import LEVEL, binomial_tail, in_excess, longest_window, smallest_burst, wilson_upper
from monitor.model import Verdict
from probes.record import Outcome
from tests.measure.build import S, at, load, look, measure, times


def baseline(bad: int, requests: int) -> Baseline:
    return Baseline(requests=requests, bad=bad, latency_ns=1, longest_ns=1, rate=1.0, output_tokens=None)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 30), st.integers(1, 60), st.floats(0.001, 0.9))
def test_binomial_tail(k: int, n: int, p: float) -> None:
    exact = sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
    if k > n * p:
        assert binomial_tail(k, n, p) == pytest.approx(exact, rel=1e-9, abs=1e-15)
    else:
        assert binomial_tail(k, n, p) == 1.0


@pytest.mark.parametrize("burst", [1, 4, 11, 64])
@pytest.mark.parametrize("ratio", [0.003, 0.05, 0.2])
def test_longest_window_is_the_last_rare_one(burst: int, ratio: float) -> None:
    longest = longest_window(burst, ratio)
    if longest:
        assert binomial_tail(burst, longest, ratio) <= LEVEL
        assert binomial_tail(burst, longest + 1, ratio) > LEVEL
    else:
        assert binomial_tail(burst, burst, ratio) > LEVEL


def test_wilson_upper_is_above_the_ratio_and_narrows() -> None:
    assert 0.05 < wilson_upper(50, 1000) < wilson_upper(5, 100) < wilson_upper(1, 20) < 0.3
    assert wilson_upper(10, 10) == pytest.approx(1.0)


def test_without_background_every_bad_one_counts() -> None:
    bad = np.array([False, True, False])
    assert in_excess(bad, baseline(0, 300)).tolist() == bad.tolist()


def test_false_alarms_are_rarer_than_promised() -> None:
    """2,000 runs of 400 requests with 3 % background errors; the bound of the module's text is 0.02 %, each."""
    rng = np.random.default_rng(20261121)
    alarms = 0
    for _ in range(2000):
        before = int(rng.binomial(300, 0.03))
        if before:
            alarms += bool(in_excess(rng.random(400) < 0.03, baseline(before, 300)).any())
    assert alarms <= 2


def test_least_burst_is_what_is_found_and_no_less() -> None:
    normal = baseline(3, 300)
    least = smallest_burst(normal)
    assert 2 <= least <= 6
    for length in (least - 1, least):
        bad = np.zeros(200, np.bool_)
        bad[100 : 100 + length] = True
        assert bool(in_excess(bad, normal).any()) == (length >= least)


def test_edges_of_an_outage_are_not_drawn_out_by_strays() -> None:
    bad = np.zeros(1000, np.bool_)
    bad[[50, 180, 270, 480, 700, 850]] = True
    bad[300:400] = True
    found = np.flatnonzero(in_excess(bad, baseline(3, 300)))
    assert (found[0], found[-1], len(found)) == (300, 399, 100)


def test_edges_of_a_thin_rise_are_trimmed() -> None:
    """1 % before, 9 % for a while: it takes windows so long that strays on both sides fit in."""
    bad = np.zeros(4000, np.bool_)
    bad[50::100] = True
    bad[800:2300] = False
    bad[800:2300:11] = True
    found = np.flatnonzero(in_excess(bad, baseline(6, 300)))
    assert (found[0], found[-1]) == (800, 2296)


def test_two_outages_stay_two() -> None:
    bad = np.zeros(1000, np.bool_)
    bad[300:340] = bad[500:540] = True
    found = in_excess(bad, baseline(3, 300))
    assert found.tolist() == bad.tolist()


def test_small_lasting_rise_is_found() -> None:
    rng = np.random.default_rng(7)
    bad = np.concatenate((rng.random(500) < 0.02, rng.random(1500) < 0.12, rng.random(500) < 0.02))
    found = np.flatnonzero(in_excess(bad, baseline(6, 300)))
    assert len(found) > 100
    assert 450 <= found[0] <= 600
    assert 1850 <= found[-1] <= 2050


def test_background_errors_are_no_impact_and_no_relapse() -> None:
    ticks = itertools.count()

    def background(_t: float) -> Outcome:
        return Outcome.FAILED if next(ticks) % 50 == 25 else Outcome.GOOD

    quiet = measure(load(-30, 40, background), times(40))[0]
    assert quiet.verdict is Verdict.NO_IMPACT
    assert quiet.failed_requests == 8, "they are counted all the same"
    assert "6 of 300 requests were bad before the fault; 8 later ones look the same" in quiet.notes[0]

    broken = load(-30, 60, lambda t: Outcome.FAILED if 2 <= t < 7 else background(t))
    report = measure(broken, times(60))[0]
    assert report.verdict is Verdict.RECOVERED
    assert (report.t_impact, report.t_recovered) == (at(2), at(7))
    assert look(broken, times(20)).settled is True


def test_a_broken_baseline_proves_nothing() -> None:
    ticks = itertools.count()
    records = load(-30, 40, lambda _t: Outcome.FAILED if next(ticks) % 3 == 0 else Outcome.GOOD, interval=S // 10)
    report = measure(records, times(40))[0]
    assert (report.verdict, report.reason) == (
        Verdict.INCONCLUSIVE,
        "100 of 300 requests were bad before the fault",
    )
