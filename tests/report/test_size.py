"""A million requests are a page of less than 5 MB that still shows every failure. How long it takes: `make bench`."""

from __future__ import annotations

import numpy as np

from monitor.measure.columns import OUTCOMES
from monitor.report.html.run_page import run_page
from monitor.report.html.soak_page import soak_page
from monitor.report.of_run import run_report
from monitor.report.of_soak import soak_report
from probes.record import Outcome
from tests.report.build import making, run_at
from tests.report.million import Memory, million
from tests.support.records import SECOND, T0

MOST_BYTES = 5_000_000


def test_a_million_requests_around_one_run() -> None:
    rows = million()
    end = int(rows.start_ns[-1]) + 1
    run = run_at(31, t_finished=end, transitions=())
    report = run_report(Memory(rows, [run]), run, making(now_ns=end))
    failures = int(np.count_nonzero(rows.started(report.begin_ns, report.end_ns).has(Outcome.FAILED)))
    assert failures > 190_000
    assert sum(OUTCOMES[o] is Outcome.FAILED for o in report.points.outcome) == failures == report.bad_total
    assert len(run_page(report).encode()) < MOST_BYTES


def test_a_million_requests_and_a_thousand_runs_in_a_period() -> None:
    rows = million(failures=0.02)
    runs = [run_at(30 + 9.9 * n, recovery=4 + n % 5, number=n) for n in range(1000)]
    report = soak_report(Memory(rows, runs[::-1]), T0, T0 + 10_000 * SECOND, making())
    assert report.speed.total == 1_000_000
    assert len(report.runs) == 1000
    assert len(soak_page(report).encode()) < MOST_BYTES
