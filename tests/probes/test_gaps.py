"""Holes in the load are told when they open and when they close, once each."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.gaps import GapWatch, gap_limit_ns
from probes.probe import Probe
from probes.record import Gap, ProbeEvent
from probes.spec import EndpointSpec, ProbeSpec

SECOND = 1_000_000_000


def test_the_limit_is_two_and_a_half_intervals_but_forgives_a_hiccup() -> None:
    assert gap_limit_ns(SECOND // 50) == 770_000_000
    assert gap_limit_ns(SECOND // 2) == 1_250_000_000
    assert gap_limit_ns(2 * SECOND) == 5 * SECOND


def test_a_gap_opens_and_closes() -> None:
    watch = GapWatch("p", SECOND // 10)
    assert watch.look(100 * SECOND, "") is None  # nothing was ever started: no start to count from
    assert watch.started(10 * SECOND, "") is None
    assert watch.look(10 * SECOND + watch.limit_ns, "") is None
    assert watch.up(10 * SECOND + watch.limit_ns)
    assert not watch.up(11 * SECOND)
    assert watch.look(11 * SECOND, "killed") == Gap("p", 10 * SECOND, None, "killed")
    assert watch.look(12 * SECOND, "killed") is None
    assert watch.started(15 * SECOND, "") == Gap("p", 10 * SECOND, 15 * SECOND, "killed")
    assert watch.gap is None
    assert watch.up(15 * SECOND)


def test_a_gap_that_nobody_looked_into_is_told_when_it_is_over() -> None:
    watch = GapWatch("p", SECOND // 10)
    watch.started(10 * SECOND, "")
    assert watch.started(15 * SECOND, "stalled") == Gap("p", 10 * SECOND, 15 * SECOND, "stalled")


def test_a_load_that_never_began_is_a_gap_from_the_beginning() -> None:
    watch = GapWatch("p", SECOND)
    assert watch.never_started(3 * SECOND, "no such option") == Gap("p", 3 * SECOND, None, "no such option")
    assert watch.never_started(3 * SECOND, "again") is None
    assert watch.started(9 * SECOND, "") == Gap("p", 3 * SECOND, 9 * SECOND, "no such option")


@given(st.lists(st.tuples(st.integers(0, 4_000_000_000), st.booleans()), min_size=2, max_size=40))
def test_every_silence_beyond_the_limit_is_told_exactly_once(steps: list[tuple[int, bool]]) -> None:
    watch = GapWatch("p", SECOND // 10)
    opened, closed, expected = [], [], []
    now = last = SECOND
    watch.started(now, "")
    for wait, looked in steps:
        now += wait
        if looked:
            opened.append(watch.look(now, "x"))
        closed.append(watch.started(now, "x"))
        if now - last > watch.limit_ns:
            expected.append((last, now))
        last = now
    assert [(g.start_ns, g.end_ns) for g in closed if g] == expected
    assert {g.start_ns for g in opened if g} <= {begin for begin, _ in expected}


@pytest.mark.parametrize("late", [0, 50_000_000])
def test_a_start_told_out_of_order_opens_nothing(late: int) -> None:
    watch = GapWatch("p", SECOND // 10)
    watch.started(10 * SECOND, "")
    assert watch.started(10 * SECOND - late, "") is None
    assert watch.last_start_ns == 10 * SECOND


def test_a_gap_keeps_its_start_when_the_monitors_clock_is_set_anew(tmp_path: Path) -> None:
    anchor = [1000 * SECOND]
    told: list[ProbeEvent] = []
    endpoint = EndpointSpec(url="http://127.0.0.1:9", model="m")
    probe = Probe(ProbeSpec(name="p"), endpoint, tmp_path, from_monotonic=lambda ns: ns + anchor[0], sink=told.append)
    probe._tell_gap(Gap("p", 10 * SECOND, None, "killed"))
    anchor[0] += 3 * SECOND
    assert probe.state().gap == told[0]
    probe._tell_gap(Gap("p", 10 * SECOND, 15 * SECOND, "killed"))
    assert told == [Gap("p", 1010 * SECOND, None, "killed"), Gap("p", 1010 * SECOND, 1018 * SECOND, "killed")]
    assert probe.state().gap is None
