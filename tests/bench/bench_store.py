"""Ten million records through the store, folded as a service folds them. Prints JSON, asserts nothing.

`python -m tests.bench.bench_store [RECORDS] [--keep-hours H] [--bad-share S]`
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from faults.base import Evidence, Instance, Process, Receipt
from monitor.model import Phase, Run, Stretch, Transition, Verdict, WitnessReport
from monitor.store.ids import RunIds
from monitor.store.store import Store
from probes.record import ErrorClass, Outcome, Record

RATE = 10
BEGIN_NS = 1_700_000_000 * 10**9
FOLD_EVERY = 6 * 3600 * RATE
RUN_EVERY = 1800 * RATE
IDS = RunIds()


def record(number: int, rng: random.Random, bad_share: float) -> Record:
    """A plausible record; segments of an hour."""
    start = BEGIN_NS + number * (10**9 // RATE) + rng.randrange(1_000_000)
    bad = rng.random() < bad_share
    ttft = rng.randrange(20_000_000, 200_000_000)
    return Record(
        probe="chat",
        segment=number // (3600 * RATE),
        session_num=number % (3600 * RATE),
        request_id=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        start_ns=start,
        end_ns=start + rng.randrange(200_000_000, 2_000_000_000),
        outcome=Outcome.FAILED if bad else Outcome.GOOD,
        error=ErrorClass.CONNECTION_RESET if bad else ErrorClass.NONE,
        message="connection reset by peer while reading the body" if bad else "",
        status=None if bad else 200,
        ttft_ns=None if bad else ttft,
        inter_token_ns=None if bad else ttft // 10,
        max_gap_ns=None if bad else ttft // 5,
        input_tokens=64,
        output_tokens=None if bad else 32,
        expected_tokens=32,
    )


def run(number: int, rng: random.Random) -> Run:
    """A finished run of usual size."""
    at = BEGIN_NS + number * (10**9 // RATE)
    worker = Process(pid=1, start_ticks=1, command="python -m worker " + "--option value " * 20)
    instance = Instance(component="worker", name="worker-0", process=worker, processes=(worker,))
    witness = WitnessReport(
        witness="client",
        status="ok",
        verdict=Verdict.RECOVERED,
        failed_requests=7,
        stretches=tuple(Stretch(start_ns=at, end_ns=at + i) for i in range(20)),
    )
    return Run(
        id=IDS(at),
        fault_name=rng.choice(["worker", "worker_stall", "frontend"]),
        fault={"kind": "process_kill"},
        deployment="bench",
        requested_by="schedule:bench",
        seed=1,
        phase=Phase.FINISHED,
        transitions=tuple(Transition(phase=p, at_ns=at) for p in Phase),
        instances=(instance,),
        receipt=Receipt(
            run_id="r", kind="process_kill", fault={}, instances=(instance,), planned_ns=at, state_dir="runs/r"
        ),
        evidence=Evidence(summary="gone", at_monotonic_ns=1),
        t_requested=at,
        t_finished=at + 60 * 10**9,
        verdict=Verdict.RECOVERED,
        witnesses=(witness, witness, witness),
    )


def timed(work: Callable[[], Any]) -> float:
    """Milliseconds of the middle of seven calls."""
    taken = []
    for _ in range(7):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1e3)
    return round(sorted(taken)[3], 2)


def batches(count: int, bad_share: float, rng: random.Random) -> Iterator[tuple[int, list[Record]]]:
    """Records in pieces, as (number of the last, piece)."""
    size = 3600 * RATE // 4
    for first in range(0, count, size):
        last = min(first + size, count)
        yield last, [record(n, rng, bad_share) for n in range(first, last)]


def main(argv: list[str]) -> dict[str, Any]:
    """Fill, fold, ask."""
    parser = argparse.ArgumentParser()
    parser.add_argument("records", nargs="?", type=int, default=10_000_000)
    parser.add_argument("--keep-hours", type=float, default=24.0)
    parser.add_argument("--bad-share", type=float, default=0.01)
    args = parser.parse_args(argv)
    rng = random.Random(1)  # noqa: S311 - reproducible figures
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            return measure(store, args, rng)
        finally:
            store.close()


def measure(store: Store, args: argparse.Namespace, rng: random.Random) -> dict[str, Any]:
    """The figures."""
    keep_ns = round(args.keep_hours * 3600e9)
    add_seconds = fold_seconds = 0.0
    peak, next_fold, next_run, folded = 0, FOLD_EVERY, 0, 0
    newest = ""
    for last, batch in batches(args.records, args.bad_share, rng):
        begun = time.perf_counter()
        store.add(batch)
        add_seconds += time.perf_counter() - begun
        while next_run < last:
            made = run(next_run, rng)
            store.save_run(made)
            newest, next_run = made.id, next_run + RUN_EVERY
        if last >= next_fold:
            begun = time.perf_counter()
            folded += store.fold(batch[-1].start_ns - keep_ns)
            fold_seconds += time.perf_counter() - begun
            next_fold += FOLD_EVERY
        peak = max(peak, store.size_bytes())
    end = batch[-1].start_ns
    return {
        "records": args.records,
        "bad_share": args.bad_share,
        "runs": store.runs(limit=1)[1],
        "folded": folded,
        "size_mb": round(store.size_bytes() / 1e6, 1),
        "peak_mb": round(peak / 1e6, 1),
        "add_microseconds_a_record": round(add_seconds * 1e6 / args.records, 2),
        "fold_microseconds_a_record": round(fold_seconds * 1e6 / max(1, folded), 2),
        "runs_ls_ms": timed(lambda: store.runs(limit=50)),
        "runs_show_ms": timed(lambda: store.run(newest)),
        "save_run_ms": timed(lambda: store.save_run(run(args.records, rng))),
        "columns_of_5_minutes_ms": timed(lambda: store.columns(end - 300 * 10**9, end)),
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
