"""What reports read beside records and runs."""

from __future__ import annotations

from monitor.store.history import Minute
from monitor.store.store import Store
from tests.support.records import SECOND, T0, failed, record, run

MINUTE = 60 * SECOND


def test_minutes_are_counts_and_sums(store: Store) -> None:
    store.add([record(n, life=0.5) for n in range(90)] + [failed(100, start=20.5)])
    assert store.folded_until() is None
    store.fold(T0 + 2 * MINUTE)
    assert store.folded_until() == T0 + 2 * MINUTE
    first, second = store.minutes(T0, T0 + 2 * MINUTE)
    assert first == Minute(T0, "chat", 60, 30 * SECOND, 60, 60 * 40_000_000)
    assert second.good == 30


def test_a_minute_is_found_by_any_part_of_it(store: Store) -> None:
    store.add([record(0)])
    store.fold(T0 + MINUTE)
    assert len(store.minutes(T0 + 59 * SECOND, T0 + 70 * SECOND)) == 1
    assert store.minutes(T0 + MINUTE, T0 + 2 * MINUTE) == []
    assert store.minutes(T0 - MINUTE, T0) == []


def test_the_oldest_thing_of_any_kind(store: Store) -> None:
    assert store.oldest_ns() is None
    store.add([record(70)])
    assert store.oldest_ns() == T0 + 70 * SECOND
    store.fold(T0 + 2 * MINUTE)
    assert store.oldest_ns() == T0 + MINUTE, "a folded request is known by its minute"
    store.save_run(run(0))
    assert store.oldest_ns() == T0
