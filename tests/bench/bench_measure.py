"""How long the windows of a run take over 100,000 records. Prints; judges nothing.

python -m tests.bench.bench_measure
"""

from __future__ import annotations

import time
from statistics import median

import numpy as np

from monitor.config.settings import RunSpec
from monitor.measure.client import RunTimes, measure_client, progress
from monitor.measure.columns import OUTCOME_CODE, Columns
from probes.record import Outcome

S = 1_000_000_000
ROWS = 100_000
RATE = 50
BASELINE = 60 * RATE


def columns(probes: tuple[str, ...], background: float) -> Columns:
    """A baseline of a minute, a half outage of nine seconds, then half an hour of recovery."""
    rng = np.random.default_rng(1)
    start = 1_700_000_000 * S + np.arange(ROWS) * S // RATE
    outcome = np.where(rng.random(ROWS) < background, OUTCOME_CODE[Outcome.FAILED], OUTCOME_CODE[Outcome.GOOD])
    outcome[BASELINE : BASELINE + 9 * RATE : 2] = OUTCOME_CODE[Outcome.FAILED]
    names = ("ttft_ns", "inter_token_ns", "max_gap_ns", "input_tokens", "output_tokens", "expected_tokens")
    return Columns.build(
        probes,
        {
            "start_ns": start,
            "end_ns": start + rng.integers(50_000_000, S, ROWS),
            "outcome": outcome,
            "error": np.zeros(ROWS, np.int8),
            "probe": np.arange(ROWS) % len(probes),
            **{name: np.full(ROWS, 32) for name in names},
        },
    )


def main() -> None:
    for probes, background in ((("a",), 0.0), (("a", "b", "c"), 0.0), (("a",), 0.02)):
        rows = columns(probes, background)
        inject = int(rows.start_ns[BASELINE])
        times = RunTimes(inject, inject, None, None, int(rows.start_ns[-1]), horizon_ended=True)
        intervals = {name: len(probes) * S // RATE for name in probes}
        overdue = dict.fromkeys(probes, 5 * S)
        taken: dict[str, list[float]] = {"measure": [], "progress": []}
        for _ in range(9):
            for name, function in (("measure", measure_client), ("progress", progress)):
                begin = time.perf_counter()
                function(
                    rows,
                    times=times,
                    in_flight=[],
                    gaps=[],
                    intervals_ns=intervals,
                    overdue_ns=overdue,
                    settings=RunSpec(),
                )
                taken[name].append((time.perf_counter() - begin) * 1e3)
        figures = ", ".join(f"{name} {median(ms):.1f} ms (worst {max(ms):.1f})" for name, ms in taken.items())
        print(f"{ROWS} records, {len(probes)} probes, background errors {background:.0%}: {figures}")


if __name__ == "__main__":
    main()
