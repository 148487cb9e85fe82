"""The ingest on a real store, and on a store that refuses when told to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.clock import ManualClock
from monitor.export.metrics import Metrics
from monitor.ingest import Ingest
from monitor.measure.columns import Columns
from monitor.store.errors import StoreError, StoreFull
from monitor.store.store import Store
from probes.record import ErrorClass, Gap, Outcome, Record, SegmentClosed
from tests.support.records import SECOND, T0, failed, record

WINDOW = (T0 - SECOND, T0 + 10**7 * SECOND)


class Refusing(Store):
    """A real store with a switch."""

    refuse = False

    def add(self, batch: Sequence[Record], gaps: Sequence[Gap] = (), segments: Sequence[SegmentClosed] = ()) -> None:
        self._maybe()
        super().add(batch, gaps, segments)

    def check(self) -> None:
        self._maybe()
        super().check()

    def _maybe(self) -> None:
        if self.refuse:
            error = StoreFull("the store is full")
            self.on_error(error)
            raise error


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Refusing]:
    made = Refusing(f"sqlite:///{tmp_path / 'store.db'}")
    yield made
    made.close()


class Rig:
    """An ingest, its clock at T0, and its metrics."""

    def __init__(self, store: Refusing, **bounds: Any) -> None:
        self.store = store
        self.clock = ManualClock(T0)
        self.metrics = Metrics(deployment="d", probes=["chat", "long"])
        self.ingest = Ingest(store, self.metrics, self.clock, **bounds)

    def take(self, *records: Record) -> None:
        """Each arrives when it ends."""
        for r in sorted(records, key=lambda r: r.end_ns):
            self.clock.advance(max(0, r.end_ns - self.clock.now_ns()) / 1e9)
            self.ingest.take(r)

    def value(self, line: str) -> float:
        page = self.metrics.render()[0].decode()
        return float(next(x for x in page.splitlines() if x.startswith(line + " ")).rsplit(" ", 1)[1])

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not what():
                await asyncio.sleep(0.01)


def go(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 60))


def test_what_is_taken_is_written_by_itself(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        await rig.ingest.start()
        rig.take(record(1), failed(2))
        rig.ingest.take(Gap("chat", T0, T0 + 3 * SECOND, "died"))
        rig.ingest.take(SegmentClosed("chat", 1, T0, T0 + 9, 2, 2, 0, 0, 0, "rotated"))
        await rig.until(lambda: len(store.records(*WINDOW)) == 2)
        assert len(store.gaps(*WINDOW)) == 1
        assert len(store.segments(0)) == 1
        assert rig.ingest.healthy == (True, "")
        await rig.ingest.close()
        assert rig.value('aftershock_probe_gap_seconds_total{probe="chat"}') == 3

    go(work())


def test_metrics_are_right_before_anything_is_written(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        rig.take(failed(2))
        line = 'aftershock_probe_requests_total{error="connection_refused",outcome="failed",probe="chat"}'
        assert rig.value(line) == 1

    go(work())


def test_close_writes_what_is_left(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        await rig.ingest.start()
        rig.take(*(record(n) for n in range(12_000)))
        await rig.ingest.close()
        assert len(store.records(*WINDOW)) == 12_000

    go(work())


def test_records_wait_for_a_store_that_refuses(store: Refusing, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        rig = Rig(store)
        await rig.ingest.start()
        store.refuse = True
        rig.take(*(record(n) for n in range(100)))
        rig.ingest.take(Gap("chat", T0, None, "died"))
        await rig.until(lambda: not rig.ingest.healthy[0])
        assert rig.ingest.healthy == (False, "the store is full")
        with pytest.raises(StoreError):
            await rig.ingest.flush()
        assert store.records(*WINDOW) == []
        await rig.until(lambda: rig.ingest.pending_records == 100)
        assert len(rig.ingest.recent(1000, rig.clock.now_ns())) == 100, "memory does not care"
        store.refuse = False
        await rig.until(lambda: rig.ingest.healthy[0])
        assert len(store.records(*WINDOW)) == 100
        assert rig.ingest.pending_records == 0
        assert len(store.gaps(*WINDOW)) == 1
        assert rig.value("aftershock_store_errors_total") >= 2
        assert rig.value("aftershock_store_dropped_records_total") == 0
        await rig.ingest.close()

    with caplog.at_level(logging.WARNING):
        go(work())
    assert len(caplog.records) == 2, "said once when it begins, once when it ends"


def test_a_store_that_refuses_for_too_long_costs_the_oldest_records_and_they_are_counted(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store, pending_records=50)
        await rig.ingest.start()
        store.refuse = True
        rig.take(*(record(n) for n in range(80)))
        await rig.until(lambda: not rig.ingest.healthy[0])
        rig.take(*(record(n) for n in range(80, 90)))
        store.refuse = False
        await rig.ingest.flush()
        assert [r.session_num for r in store.records(*WINDOW)] == list(range(40, 90))
        assert rig.value("aftershock_store_dropped_records_total") == 40
        await rig.ingest.close()

    go(work())


def test_a_store_that_refuses_becomes_healthy_again_with_nothing_to_write(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store, pending_records=1)
        await rig.ingest.start()
        store.refuse = True
        rig.take(record(1))
        await rig.until(lambda: not rig.ingest.healthy[0])
        rig.ingest._records.clear()
        store.refuse = False
        await rig.until(lambda: rig.ingest.healthy[0])
        await rig.ingest.close()

    go(work())


def test_a_store_that_refuses_from_the_start_is_an_error(store: Refusing) -> None:
    store.refuse = True
    with pytest.raises(StoreFull):
        go(Rig(store).ingest.start())


def test_close_gives_up_in_time_and_says_what_was_lost(store: Refusing, caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        rig = Rig(store)
        await rig.ingest.start()
        store.refuse = True
        rig.take(record(1), record(2))
        await rig.ingest.close()

    go(work())
    assert "2 records could not be stored" in caplog.text


def test_recent_is_by_overlap_and_in_order_of_arrival(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        hung = failed(0, life=30.0)
        rig.take(hung, *(record(n) for n in range(1, 40)))
        now = rig.clock.now_ns()
        found = rig.ingest.recent(10.5, now)
        assert [r.session_num for r in found] == [29, 0, *range(30, 40)], "0 began long ago and ended inside"
        assert len(rig.ingest.recent(1e6, now)) == 40

    go(work())


def test_a_lost_record_that_comes_late_hides_nothing(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        rig.take(record(1), record(2))
        rig.ingest.take(failed(0, start=-500, outcome=Outcome.LOST, error=ErrorClass.LOST))
        assert [r.session_num for r in rig.ingest.recent(10, rig.clock.now_ns())] == [1, 2]

    go(work())


def test_memory_is_bounded_by_time_and_by_number(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store, memory_seconds=100)
        rig.take(*(record(n) for n in range(1000)))
        assert len(rig.ingest.recent(1e6, rig.clock.now_ns())) == 101
        rig = Rig(store, memory_records=10)
        rig.take(*(record(n) for n in range(1000)))
        assert [r.session_num for r in rig.ingest.recent(1e6, rig.clock.now_ns())] == list(range(990, 1000))

    go(work())


def test_recent_stats_count_what_ended_in_the_window(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        slow = record(97, outcome=Outcome.SLOW, error=ErrorClass.SLOW_GAP)
        cut = failed(96, outcome=Outcome.TRUNCATED, error=ErrorClass.STREAM_CUT, message="cut\n off", life=1.9)
        lost = failed(98, outcome=Outcome.LOST, error=ErrorClass.LOST)
        rig.take(failed(1), *(record(n) for n in range(2, 96)), slow, cut, lost, record(98, probe="long"))
        seen = rig.ingest.recent_stats(5.0, rig.clock.now_ns())
        assert (seen.requests, seen.bad, seen.failed, seen.lost, seen.good) == (5, 2, 1, 1, 3)
        assert seen.rate == 1.0
        assert seen.first_bad_ns == cut.start_ns
        assert seen.last_bad_ns == cut.end_ns
        assert seen.first_error == "stream_cut: cut off"
        assert seen.bad_total == 3, "since the service began"
        long = rig.ingest.recent_stats(5.0, rig.clock.now_ns(), "long")
        assert (long.requests, long.bad, long.first_error) == (1, 0, "")
        empty = rig.ingest.recent_stats(5.0, rig.clock.now_ns() + 60 * SECOND)
        assert (empty.requests, empty.first_bad_ns) == (0, None)

    go(work())


def test_columns_come_from_memory_while_it_reaches_back_far_enough(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store)
        rig.take(*(record(n) for n in range(1, 50)))
        store.refuse = True
        found = await rig.ingest.columns(T0 + 20 * SECOND, T0 + 30 * SECOND)
        assert found.start_ns.tolist() == [record(n).start_ns for n in range(20, 30)]

    go(work())


def test_columns_come_from_the_store_for_what_memory_has_forgotten(store: Refusing) -> None:
    async def work() -> None:
        rig = Rig(store, memory_records=5)
        batch = [failed(0, life=25.0), *(record(n) for n in range(1, 50))]
        rig.take(*batch)
        found = await rig.ingest.columns(T0 + 20 * SECOND, T0 + 30 * SECOND)
        wanted = Columns.of(batch).overlapping(T0 + 20 * SECOND, T0 + 30 * SECOND)
        assert found.start_ns.tolist() == wanted.start_ns.tolist()
        assert len(found) == 11, "with the one that was in flight, and with what was not written yet"
        store.refuse = True
        rig.ingest.take(record(60))
        with pytest.raises(StoreError):
            await rig.ingest.columns(T0, T0 + 30 * SECOND)

    go(work())
