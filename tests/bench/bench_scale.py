"""What one more record and one more closed run cost in a small and in a huge store. Prints JSON, asserts nothing.

`python -m tests.bench.bench_scale [--most RECORDS]`; ten million take about ten minutes and 2 GB.
Every record is kept whole, as no service would for so long: what is asked is whether cost grows with what is stored.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from monitor.config.settings import RunSpec
from monitor.measure.client import RunTimes, measure_client
from monitor.store.store import Store
from probes.record import Record
from tests.bench.bench_store import RATE, record, run

SECOND = 1_000_000_000
BATCH = 50
SAMPLES = 60
LEAST = 10_000
FILL = 10_000


def median_us(work: Callable[[], object]) -> float:
    """Microseconds of the middle of many calls."""
    taken = []
    for _ in range(SAMPLES):
        begun = time.perf_counter()
        work()
        taken.append((time.perf_counter() - begun) * 1e6)
    return sorted(taken)[SAMPLES // 2]


class Sizes:
    """One store that grows, and the cost at each size."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._random = random.Random(1)  # noqa: S311 - reproducible figures
        self._stored = 0
        self._runs = 0

    def grow(self, to: int) -> None:
        """Fill up."""
        while self._stored < to:
            last = min(to, self._stored + FILL)
            self._store.add([record(number, self._random, 0.01) for number in range(self._stored, last)])
            self._stored = last

    def figures(self) -> dict[str, Any]:
        """Cost of a record and of the end of a run, now."""
        ready = iter([self._batch() for _ in range(SAMPLES)])  # making records is not the store's cost
        ingest = median_us(lambda: self._store.add(next(ready))) / BATCH
        close = median_us(self._close)
        return {
            "records": self._stored,
            "size_mb": round(self._store.size_bytes() / 1e6, 1),
            "ingest_one_record_us": round(ingest, 2),
            "close_one_run_us": round(close, 1),
        }

    def _batch(self) -> list[Record]:
        first, self._stored = self._stored, self._stored + BATCH
        return [record(number, self._random, 0.01) for number in range(first, self._stored)]

    def _close(self) -> None:
        """As a service does it: the window's records, the client's report, the run."""
        end = record(self._stored, self._random, 0.0).start_ns
        inject = end - 60 * SECOND
        columns = self._store.columns(inject - 30 * SECOND, end)
        times = RunTimes(
            t_inject=inject,
            t_effect=inject,
            t_acting_until=inject,
            t_reverted=inject,
            observed_until=end,
            horizon_ended=True,
        )
        interval = SECOND // RATE
        reports = measure_client(
            columns,
            times=times,
            in_flight=[],
            gaps=[],
            intervals_ns={"chat": interval},
            overdue_ns={"chat": None},
            settings=RunSpec(),
        )
        made = run(self._stored + self._runs, self._random).model_copy(update={"witnesses": tuple(reports)})
        self._runs += 1
        self._store.save_run(made)


def main(argv: list[str]) -> dict[str, Any]:
    """Grow by tens."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=10_000_000)
    most = parser.parse_args(argv).most
    found = []
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'bench.db'}")
        try:
            sizes = Sizes(store)
            size = LEAST
            while size <= most:
                sizes.grow(size)
                found.append(sizes.figures())
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
                size *= 10
        finally:
            store.close()
    first, last = found[0], found[-1]
    ratios = {key: round(last[key] / first[key], 2) for key in ("ingest_one_record_us", "close_one_run_us")}
    return {"sizes": found, "ratio_of_last_to_first": ratios}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
