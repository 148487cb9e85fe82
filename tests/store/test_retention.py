"""Folding and forgetting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from monitor.model import Incident, Phase, Verdict
from monitor.store.retention import BOUNDS_NS
from monitor.store.store import Store
from probes.record import ErrorClass, Gap, Outcome, SegmentClosed
from tests.store.conftest import Place
from tests.support.records import SECOND, T0, failed, record, run


def minutes(place: Place) -> list[Mapping[str, Any]]:
    return place.ask("select * from minutes order by minute_ns, probe")


def test_good_requests_become_a_row_a_minute_and_probe_and_bad_ones_stay(store: Store, place: Place) -> None:
    lost = failed(55, outcome=Outcome.LOST, error=ErrorClass.LOST)
    slow = record(56, outcome=Outcome.SLOW, error=ErrorClass.SLOW_GAP)
    kept = [failed(50), lost, slow]
    good = [record(n) for n in range(50)]
    store.add(
        [*good, *kept, record(3, probe="long", life=45.0, ttft_ns=None, inter_token_ns=None), record(61), record(125)]
    )
    assert store.fold(T0 + 120 * SECOND) == 52
    left = store.records(T0 - SECOND, T0 + 1000 * SECOND)
    assert left == [*kept, record(125)]
    first, long, second = minutes(place)
    assert (first["minute_ns"], first["good"], first["life_ns"]) == (T0, 50, 25 * SECOND)
    assert (first["ttft_count"], first["ttft_ns"]) == (50, 50 * 40_000_000)
    assert (first["inter_token_count"], first["inter_token_ns"]) == (50, 50 * 5_000_000)
    assert first["output_tokens"] == 50 * 32
    assert (long["good"], long["ttft_count"], long["ttft_ns"]) == (1, 0, 0)
    assert (second["minute_ns"], second["good"]) == (T0 + 60 * SECOND, 1)


def test_histograms_of_a_minute_hold_each_request_once_in_its_bucket(store: Store, place: Place) -> None:
    lives = [0.025, 0.0250001, 0.5, 60.0, 61.0, 0.0]
    store.add([record(n, life=life, ttft_ns=BOUNDS_NS[2]) for n, life in enumerate(lives)])
    store.fold(T0 + 60 * SECOND)
    (row,) = minutes(place)
    life = json.loads(row["life_histogram"])
    assert len(life) == len(BOUNDS_NS) + 1
    assert sum(life) == len(lives)
    assert life[0] == 2, "a bound belongs to the bucket below it"
    assert life[1] == 1
    assert life[BOUNDS_NS.index(SECOND // 2)] == 1
    assert life[BOUNDS_NS.index(60 * SECOND)] == 1
    assert life[-1] == 1
    assert json.loads(row["ttft_histogram"])[2] == len(lives)


def test_only_whole_minutes_are_folded_and_folding_again_goes_on(store: Store, place: Place) -> None:
    store.add([record(n) for n in range(180)])
    assert store.fold(T0 + 119 * SECOND) == 60
    assert store.fold(T0 + 119 * SECOND) == 0
    assert store.fold(T0 + 180 * SECOND) == 120
    assert [r["good"] for r in minutes(place)] == [60, 60, 60]


def test_a_late_request_is_added_to_its_minute(store: Store, place: Place) -> None:
    store.add([record(1)])
    store.fold(T0 + 60 * SECOND)
    store.add([record(2)])
    place.ask("delete from flags where name = 'folded'")
    assert store.fold(T0 + 60 * SECOND) == 1
    (row,) = minutes(place)
    assert (row["good"], sum(json.loads(row["life_histogram"])), row["output_tokens"]) == (2, 2, 64)


def test_folding_gives_space_back(sqlite_store: Store) -> None:
    store = sqlite_store
    store.add([record(n) for n in range(40_000)])
    before = store.size_bytes()
    store.fold(T0 + 40_000 * SECOND)
    store.close()
    assert store.size_bytes() < before / 2


def test_forgetting_deletes_what_is_old_and_nothing_that_is_open(store: Store, place: Place) -> None:
    day = 86_400 * SECOND
    done = {"phase": Phase.FINISHED, "verdict": Verdict.RECOVERED}
    store.save_run(run(0, **done))
    store.save_run(run(1, **done, receipt_open=True))
    store.save_run(run(2))
    store.save_run(run(10_000, **done))
    store.add(
        [failed(1), record(2), failed(3, start=86_400 * 3)],
        [Gap("chat", T0, T0 + 1, "x"), Gap("chat", T0 + 2, None, "y")],
    )
    store.add([], [], [SegmentClosed("chat", 1, T0, T0 + 1, 0, 0, 0, 0, 0, "x")])
    store.fold(T0 + 60 * SECOND)
    old = store.save_incident(Incident(start_ns=T0, end_ns=T0 + 1))
    lasting = store.save_incident(Incident(start_ns=T0))
    store.forget(T0 + day)
    assert {r.id for r in store.runs()[0]} == {run(1).id, run(2).id, run(10_000).id}
    assert store.records(T0, T0 + 10 * day) == [failed(3, start=86_400 * 3)]
    assert store.gaps(T0, T0 + day) == [Gap("chat", T0 + 2, None, "y")]
    assert store.segments(0) == []
    assert minutes(place) == []
    assert store.incidents() == [lasting]
    assert old.id != lasting.id


def test_nothing_to_do_is_fine(store: Store) -> None:
    assert store.fold(T0) == 0
    store.forget(T0)
