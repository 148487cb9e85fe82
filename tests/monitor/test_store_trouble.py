"""A store that goes away while load is measured and faults act: no record silently lost, and the revert comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monitor.clock import SystemClock
from monitor.export.metrics import Metrics
from monitor.ingest import Ingest
from monitor.model import Verdict
from monitor.store.errors import StoreError
from monitor.store.store import Store
from tests.monitor.test_engine import Rig as EngineRig
from tests.support.fakes import FakeFault
from tests.support.postgres import Server
from tests.support.records import SECOND, T0, record
from tests.support.tmpfs import tmpfs

WINDOW = (T0 - SECOND, T0 + 10**7 * SECOND)
PER_SECOND = 50


class Rig:
    """An ingest on a real store, fed in real time."""

    def __init__(self, store: Store, **bounds: Any) -> None:
        self.store = store
        self.metrics = Metrics(deployment="d", probes=["chat"])
        self.ingest = Ingest(store, self.metrics, SystemClock(), **bounds)
        self.taken = 0

    def take(self, count: int) -> None:
        for _ in range(count):
            self.ingest.take(record(self.taken))
            self.taken += 1

    async def feed(self, seconds: float) -> None:
        """The load of a probe."""
        for _ in range(round(seconds * PER_SECOND)):
            self.take(1)
            await asyncio.sleep(1 / PER_SECOND)

    @property
    def dropped(self) -> int:
        page = self.metrics.render()[0].decode()
        name = "aftershock_store_dropped_records_total "
        return round(float(next(x for x in page.splitlines() if x.startswith(name)).split()[1]))

    def stored(self) -> list[int]:
        return [r.session_num for r in self.store.records(*WINDOW)]

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not what():
                await asyncio.sleep(0.02)


def go(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 120))


def test_no_record_is_lost_when_the_server_is_killed_and_restarted_under_load(own_postgres: Server) -> None:
    async def work(store: Store) -> None:
        rig = Rig(store)
        await rig.ingest.start()
        load = asyncio.create_task(rig.feed(8))
        await rig.until(lambda: rig.taken > 2 * PER_SECOND)
        await asyncio.to_thread(own_postgres.kill)
        await rig.until(lambda: not rig.ingest.healthy[0])
        assert "cannot be reached" in rig.ingest.healthy[1]
        with pytest.raises(StoreError, match=r"^the store postgresql://tester@.* cannot be reached \(.*\)$"):
            await asyncio.to_thread(store.records, *WINDOW)
        await rig.until(lambda: rig.ingest.pending_records > PER_SECOND)
        await asyncio.to_thread(own_postgres.start)
        await load
        await rig.until(lambda: rig.ingest.healthy[0] and not rig.ingest.pending_records)
        await rig.ingest.close()
        assert rig.stored() == list(range(rig.taken))
        assert rig.dropped == 0

    with closing(Store(own_postgres.new())) as store:
        store.hold()
        go(work(store))


def test_beyond_the_bound_the_oldest_records_are_dropped_and_counted(own_postgres: Server) -> None:
    async def work(store: Store) -> None:
        rig = Rig(store, pending_records=100)
        await rig.ingest.start()
        rig.take(30)
        await rig.ingest.flush()
        await asyncio.to_thread(own_postgres.kill)
        rig.take(170)
        await rig.until(lambda: not rig.ingest.healthy[0] and rig.ingest.pending_records == 100)
        await asyncio.to_thread(own_postgres.start)
        await rig.until(lambda: rig.ingest.healthy[0])
        await rig.ingest.close()
        assert rig.stored() == [*range(30), *range(100, 200)]
        assert rig.dropped == 70

    with closing(Store(own_postgres.new())) as store:
        go(work(store))


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    with tmpfs(tmp_path / "tiny", "2m") as folder:
        yield folder


@pytest.mark.parametrize("bound", [100_000, 500])
def test_a_full_volume_costs_nothing_within_the_bound_and_what_is_counted_beyond_it(tiny: Path, bound: int) -> None:
    async def work(store: Store) -> None:
        rig = Rig(store, pending_records=bound)
        await rig.ingest.start()
        while rig.ingest.healthy[0]:
            rig.take(200)
            await asyncio.sleep(0.05)
        assert "is full; free space there" in rig.ingest.healthy[1]
        rig.take(1000)
        (tiny / "ballast").unlink()
        await rig.until(lambda: rig.ingest.healthy[0] and not rig.ingest.pending_records)
        await rig.ingest.close()
        stored = rig.stored()
        assert len(stored) + rig.dropped == rig.taken
        assert stored[-bound:] == list(range(rig.taken))[-min(bound, rig.taken) :]
        assert (rig.dropped > 0) == (bound == 500)

    (tiny / "ballast").write_bytes(b"x" * 1_400_000)
    with closing(Store(f"sqlite:///{tiny / 'store.db'}")) as store:
        go(work(store))


@pytest.mark.parametrize("trouble", ["kill", "freeze"])
def test_a_server_that_goes_away_while_a_fault_acts_is_reverted_first(
    own_postgres: Server, tmp_path: Path, trouble: str
) -> None:
    async def work(store: Store) -> None:
        rig = EngineRig(tmp_path, duration_seconds=60.0)
        rig.engine.parts = replace(rig.engine.parts, save=store.save_run)
        rig.engine.store = store
        await rig.engine.start()
        run = await rig.submit()
        await rig.until("verify")
        async with asyncio.timeout(10):
            while (await asyncio.to_thread(store.run, run.id)).phase != "effective":  # type: ignore[union-attr]
                await asyncio.sleep(0.05)
        await asyncio.to_thread(getattr(own_postgres, trouble))
        report = await rig.engine.recover(run.id, "told to")
        assert FakeFault.diary[-1] == "revert"
        assert [one["outcome"] for one in report.reverted] == ["reverted"]
        if trouble == "kill":
            await asyncio.to_thread(own_postgres.start)
        own_postgres.thaw()
        async with asyncio.timeout(30):
            while rig.engine.promises.unsaved:
                await asyncio.sleep(0.1)
        stored = await asyncio.to_thread(store.run, run.id)
        assert stored is not None
        assert (stored.verdict, stored.receipt_open) == (Verdict.ABORTED, False)
        await rig.engine.shutdown("end")

    with closing(Store(own_postgres.new())) as store:
        store.hold()
        go(work(store))


def test_a_revert_does_not_wait_for_a_transition_that_the_server_never_answers(
    own_postgres: Server, tmp_path: Path
) -> None:
    """Frozen between the receipt and the effect: the transition is given up, and the fault is put back."""

    async def work(store: Store) -> None:
        rig = EngineRig(tmp_path, duration_seconds=60.0)
        rig.engine.store = store
        frozen = []

        def save(run: Any) -> None:
            if run.phase == "injected":
                own_postgres.freeze()
                frozen.append(run.id)
            store.save_run(run)

        rig.engine.parts = replace(rig.engine.parts, save=save)
        run = await rig.to_end()
        own_postgres.thaw()
        assert frozen == [run.id]
        assert FakeFault.diary == ["resolve", "inject", "revert"]
        assert run.verdict is Verdict.ABORTED
        assert "results cannot be stored" in run.reason

    with closing(Store(own_postgres.new())) as store:
        go(work(store))
