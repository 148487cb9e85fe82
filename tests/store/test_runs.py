"""Runs, flags and incidents, through real databases."""

from __future__ import annotations

import random
import subprocess
import sys
import threading

import pytest

from faults.base import Evidence, Instance, Objectives, Process, Receipt
from monitor.model import Incident, ObjectiveResult, Phase, Run, Stretch, Transition, Verdict, WitnessReport
from monitor.store.errors import StoreCorrupt, StoreError
from monitor.store.ids import RunIds, new_run_id
from monitor.store.store import Store
from tests.store.conftest import Place
from tests.support.records import SECOND, T0, record, run


def full_run() -> Run:
    """Every field set."""
    process = Process(pid=7, start_ticks=9, command="python -m worker")
    instance = Instance(component="worker", name="worker-0", process=process, processes=(process,))
    return run(
        1,
        objectives=Objectives(recovery_seconds=3.0),
        phase=Phase.FINISHED,
        transitions=tuple(Transition(phase=p, at_ns=T0 + i, note="é") for i, p in enumerate(Phase)),
        instances=(instance,),
        receipt=Receipt(
            run_id="r",
            kind="process_kill",
            fault={"signal": "KILL"},
            instances=(instance,),
            planned_ns=T0,
            state_dir="x",
        ),
        evidence=Evidence(summary="gone", at_monotonic_ns=5, details=("a", "b")),
        observations=("seen",),
        t_inject=T0,
        t_effect=T0 + 1,
        t_finished=T0 + 2,
        verdict=Verdict.RECOVERED,
        witnesses=(
            WitnessReport(
                witness="client", status="ok", errors={"timeout": 2}, stretches=(Stretch(start_ns=1, end_ns=2),)
            ),
        ),
        objective_results=(ObjectiveResult(objective="recovery_seconds", limit=3, value=1.5, met=True),),
        notes=("n",),
    )


def test_a_run_comes_back_as_it_was_saved_also_in_another_process(store: Store, place: Place) -> None:
    store.save_run(full_run())
    assert store.run(full_run().id) == full_run()
    again = Store(place.url)
    try:
        assert again.run(full_run().id) == full_run()
    finally:
        again.close()


def test_saving_again_replaces_and_what_one_filters_by_follows(store: Store, place: Place) -> None:
    store.save_run(run(1, phase=Phase.PLANNED, receipt_open=True))
    assert [r.id for r in store.open_receipts()] == [run(1).id]
    assert [r.id for r in store.unfinished()] == [run(1).id]
    met = ObjectiveResult(objective="recovery_seconds", limit=1, value=2, met=False)
    store.save_run(run(1, phase=Phase.FINISHED, verdict=Verdict.RECOVERED, objective_results=(met,), t_finished=9))
    assert store.open_receipts() == []
    assert store.unfinished() == []
    assert store.runs()[1] == 1
    (row,) = place.ask("select verdict, phase, t_finished, receipt_open, met from runs")
    assert tuple(row.values()) == ("recovered", "finished", 9, 0, 0)


def test_a_finished_run_whose_revert_failed_is_still_an_open_receipt(store: Store) -> None:
    store.save_run(run(1, phase=Phase.FINISHED, verdict=Verdict.REVERT_FAILED, receipt_open=True))
    assert [r.id for r in store.open_receipts()] == [run(1).id]
    assert store.unfinished() == []


def test_runs_are_listed_newest_first_in_pages_with_filters(store: Store) -> None:
    for n in range(10):
        fault = "worker" if n % 2 else "frontend"
        verdict = Verdict.RECOVERED if n < 5 else Verdict.SKIPPED
        store.save_run(run(n, fault_name=fault, verdict=verdict, phase=Phase.FINISHED))
    page, total = store.runs(limit=3, offset=2)
    assert [r.id for r in page] == [run(n).id for n in (7, 6, 5)]
    assert total == 10
    page, total = store.runs(fault="worker", verdict="recovered")
    assert [r.id for r in page] == [run(n).id for n in (3, 1)]
    assert total == 2
    assert store.runs(since_ns=run(8).t_requested)[1] == 2


def test_a_run_is_found_by_a_prefix_and_an_ambiguous_one_lists_what_it_fits(store: Store) -> None:
    for name in ("rab0", "rab1", "rb%0"):
        store.save_run(run(0, id=name))
    found = store.run("rb")
    assert found is not None
    assert found.id == "rb%0"
    assert store.run("rab0") == run(0, id="rab0")
    with pytest.raises(LookupError, match="rab1, rab0"):
        store.run("rab")
    assert store.run("rz") is None
    assert store.run("r_b") is None, "wildcards of SQL mean nothing"
    assert store.run("%") is None
    assert store.run("") is None


def test_a_body_that_cannot_be_read_names_its_run(store: Store, place: Place) -> None:
    store.save_run(run(1))
    place.ask("update runs set body = '{}'")
    with pytest.raises(StoreCorrupt, match=run(1).id):
        store.run(run(1).id)


def test_a_saved_run_survives_the_death_of_its_process(place: Place) -> None:
    program = (
        "import os, sys; from monitor.store.store import Store; from tests.support.records import run, record\n"
        "s = Store(sys.argv[1]); s.save_run(run(3, receipt_open=True)); s.add([record(1)]); os.kill(os.getpid(), 9)"
    )
    ended = subprocess.run([sys.executable, "-c", program, place.url], check=False, timeout=60)
    assert ended.returncode == -9
    store = Store(place.url)
    try:
        assert [r.id for r in store.open_receipts()] == [run(3).id]
        assert len(store.records(T0, T0 + 10 * SECOND)) == 1
    finally:
        store.close()


def test_many_threads_share_a_store(store: Store) -> None:
    def work(first: int) -> None:
        for n in range(first, first + 20):
            store.save_run(run(n))
            assert store.run(run(n).id) is not None

    threads = [threading.Thread(target=work, args=(i * 20,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert store.runs()[1] == 160


def test_flags_are_kept_replaced_and_removed(store: Store) -> None:
    assert store.flag("stopped") is None
    store.set_flag("stopped", {"reason": "a", "since_ns": 1})
    store.set_flag("stopped", {"reason": "b"})
    assert store.flag("stopped") == {"reason": "b"}
    store.set_flag("stopped", None)
    assert store.flag("stopped") is None
    store.set_flag("stopped", None)


def test_incidents_get_an_id_and_close(store: Store) -> None:
    opened = store.save_incident(Incident(start_ns=T0, bad_requests=3, first_error="timeout"))
    assert opened.id is not None
    assert store.open_incident() == opened
    closed = store.save_incident(opened.model_copy(update={"end_ns": T0 + 5, "bad_requests": 9}))
    assert closed.id == opened.id
    assert store.open_incident() is None
    newer = store.save_incident(Incident(start_ns=T0 + 10))
    assert store.incidents() == [newer, closed]
    assert store.incidents(1) == [newer]


def test_an_id_given_twice_does_not_replace_the_first_run(store: Store) -> None:
    store.save_run(run(1, phase=Phase.PLANNED, receipt_open=True))
    with pytest.raises(StoreError):
        store.save_run(run(2, id=run(1).id, phase=Phase.FINISHED, verdict=Verdict.SKIPPED))
    assert [r.t_requested for r in store.open_receipts()] == [run(1).t_requested]


def test_run_ids_sort_by_time() -> None:
    made = RunIds(random.Random(1))  # noqa: S311 - reproducible
    ids = [made(T0 + n * 2_000_000) for n in range(2000)]
    assert ids == sorted(ids)
    assert all(len(i) == 13 and i.startswith("r") and int(i[1:], 16) > 0 for i in ids)
    assert made(2_600_000_000 * SECOND) > ids[-1], "still in order in 2052"
    assert RunIds()(T0 + 1_000_000) > RunIds()(T0), "over restarts too"


def test_run_ids_never_repeat_even_when_time_stands_still_or_goes_back() -> None:
    made = RunIds()
    ids = [made(T0 - n // 1000 * SECOND) for n in range(5000)]
    assert len(set(ids)) == 5000
    assert ids == sorted(ids)
    assert len({new_run_id(T0) for _ in range(1000)}) == 1000


def test_a_run_is_saved_so_that_a_power_cut_cannot_undo_it_and_records_more_cheaply(sqlite_store: Store) -> None:
    store = sqlite_store
    for durable, level in ((True, 2), (False, 1), (True, 2)):
        with store._database.write(durable=durable) as connection:
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == level


def test_two_processes_may_write_at_once(store: Store, place: Place) -> None:
    """Each transaction reads before it writes, which SQLite refuses at once unless the lock is taken first."""
    other = Store(place.url)
    errors: list[Exception] = []

    def work(which: Store, probe: str) -> None:
        try:
            for n in range(100):
                which.add([record(n, probe=probe, life=n / 10)])
        except StoreError as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(s, p)) for s, p in ((store, "a"), (other, "b"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    other.close()
    assert errors == []
    assert len(store.records(T0, T0 + 1000 * SECOND)) == 200
