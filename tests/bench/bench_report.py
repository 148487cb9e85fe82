"""How long reports over a million records take, from a store on disk to the page. Prints; judges nothing.

`python -m tests.bench.bench_report [RECORDS]`
"""

from __future__ import annotations

import random
import resource
import sys
import tempfile
import time
from pathlib import Path

from monitor.model import Run
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from monitor.report.render import html, text
from monitor.report.source import Making
from monitor.store.store import Store
from tests.bench.bench_store import BEGIN_NS, RATE, record
from tests.report.build import run_at
from tests.support.records import SECOND, T0

BATCH = 5000
BAD_SHARE = 0.01


def filled(store: Store, records: int) -> int:
    """Returns the instant after the last start."""
    rng = random.Random(1)  # noqa: S311 - the same records each time
    for low in range(0, records, BATCH):
        store.add([record(n, rng, BAD_SHARE) for n in range(low, min(low + BATCH, records))])
    return BEGIN_NS + (records + 1) * SECOND // RATE


def main() -> None:
    records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        store = Store(f"sqlite:///{Path(folder) / 'store.db'}")
        end = filled(store, records)
        making = Making(deployment="bench", version="0", now_ns=end, baseline_seconds=30.0)
        for hour in range((end - BEGIN_NS) // (3600 * SECOND)):
            store.save_run(run_at((BEGIN_NS - T0) / SECOND + 3600 * hour + 1800, number=hour))
        lasting: Run = run_at((BEGIN_NS - T0) / SECOND + 30, t_finished=end, transitions=(), number=10**6)
        for name, make in (
            ("period", lambda: soak_report(store, BEGIN_NS, end, making)),
            ("one run that lasted all the time", lambda: run_report(store, lasting, making)),
        ):
            begin = time.perf_counter()
            report = make()
            read = time.perf_counter()
            page = html(report)
            drawn = time.perf_counter()
            sizes = f"HTML {len(page.encode()) / 1e6:.2f} MB, JSON {len(text(report, 'json')) / 1e6:.2f} MB"
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(
                f"{records} records, {name}: data {read - begin:.1f} s, page {drawn - read:.1f} s; {sizes}; peak {peak:.0f} MB"
            )
        store.close()


if __name__ == "__main__":
    main()
