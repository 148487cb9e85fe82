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
from statistics import median
from typing import Any

from monitor.config.settings import RunSpec
from monitor.measure.client import RunTimes, measure_client
from monitor.store.store import Store
from probes.record import Record
from tests.bench.bench_store import RATE, record, run

SECOND = 1_000_000_000
BATCH = 50
SAMPLES = 200
LEAST = 10_000
FILL = 10_000


class Filled:
    """A store, the records that are in it, and what one more costs (microseconds, sample by sample)."""

    def __init__(self, file: Path) -> None:
        self.store = Store(f"sqlite:///{file}")
        self._random = random.Random(1)  # noqa: S311 - reproducible figures
        self.records = 0
        self.ingest: list[float] = []
        self.close: list[float] = []

    def grow(self, to: int) -> None:
        """Fill up."""
        while self.records < to:
            self.store.add(self._batch(min(FILL, to - self.records)))

    def sample(self) -> None:
        """One batch more, and the end of one run more."""
        batch = self._batch(BATCH)  # making records is not the store's cost
        self.ingest.append(_microseconds(lambda: self.store.add(batch)) / BATCH)
        self.close.append(_microseconds(self._close))

    def figures(self) -> dict[str, Any]:
        """Medians of the samples since the last call."""
        found = {
            "records": self.records,
            "size_mb": round(self.store.size_bytes() / 1e6, 1),
            "ingest_one_record_us": round(median(self.ingest), 2),
            "close_one_run_us": round(median(self.close), 1),
        }
        self.ingest.clear()
        self.close.clear()
        return found

    def _batch(self, size: int) -> list[Record]:
        first, self.records = self.records, self.records + size
        return [record(number, self._random, 0.01) for number in range(first, self.records)]

    def _close(self) -> None:
        """As a service does it: the window's records, the client's report, the run."""
        end = record(self.records, self._random, 0.0).start_ns
        inject = end - 60 * SECOND
        columns = self.store.columns(inject - 30 * SECOND, end)
        times = RunTimes(
            t_inject=inject,
            t_effect=inject,
            t_acting_until=inject,
            t_reverted=inject,
            observed_until=end,
            horizon_ended=True,
        )
        reports = measure_client(
            columns,
            times=times,
            in_flight=[],
            gaps=[],
            intervals_ns={"chat": SECOND // RATE},
            overdue_ns={"chat": None},
            settings=RunSpec(),
        )
        self.store.save_run(run(self.records, self._random).model_copy(update={"witnesses": tuple(reports)}))


def _microseconds(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return (time.perf_counter() - begun) * 1e6


def main(argv: list[str]) -> dict[str, Any]:
    """Grow by tens; at each size the small store is sampled in turn with the large one, so that noise hits both."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--most", type=int, default=10_000_000)
    most = parser.parse_args(argv).most
    found = []
    with tempfile.TemporaryDirectory() as folder:
        large = Filled(Path(folder) / "large.db")
        try:
            size = 10 * LEAST
            while size <= most:
                large.grow(size)
                found.append(_beside(large, Path(folder) / f"small-{size}.db"))
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
                size *= 10
        finally:
            large.store.close()
    return {"sizes": found}


def _beside(large: Filled, file: Path) -> dict[str, Any]:
    small = Filled(file)
    try:
        small.grow(LEAST)
        for _ in range(SAMPLES):
            small.sample()
            large.sample()
        a, b = small.figures(), large.figures()
    finally:
        small.store.close()
    keys = ("ingest_one_record_us", "close_one_run_us")
    return {"small": a, "large": b, "ratio": {key: round(b[key] / a[key], 2) for key in keys}}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1:]), indent=2))
