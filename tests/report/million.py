"""A million requests in memory, of which a share failed: what the size of a report is measured on."""

from __future__ import annotations

from typing import Any

import numpy as np

from monitor.measure.columns import ERROR_CODE, MISSING, OUTCOME_CODE, Columns
from monitor.model import Run
from probes.record import ErrorClass, Outcome, Record
from tests.support.records import SECOND, T0, failed

RATE_NS = SECOND // 100


def million(rows: int = 1_000_000, failures: float = 0.2) -> Columns:
    """A hundred requests a second of two probes, failures all over the place."""
    rng = np.random.default_rng(1)
    start = T0 + np.arange(rows) * RATE_NS
    bad = rng.random(rows) < failures
    life = rng.lognormal(np.log(0.8), 0.5, rows) * SECOND
    given: dict[str, Any] = {name: np.full(rows, 32) for name in ("input_tokens", "output_tokens", "expected_tokens")}
    return Columns.build(
        ("a", "b"),
        given
        | {
            "start_ns": start,
            "end_ns": start + life.astype(np.int64),
            "outcome": np.where(bad, OUTCOME_CODE[Outcome.FAILED], OUTCOME_CODE[Outcome.GOOD]),
            "error": np.where(bad, ERROR_CODE[ErrorClass.TIMEOUT], ERROR_CODE[ErrorClass.NONE]),
            "probe": np.arange(rows) % 2,
            "ttft_ns": np.where(bad, MISSING, (life / 10).astype(np.int64)),
            "inter_token_ns": np.where(bad, MISSING, 10_000_000),
            "max_gap_ns": np.full(rows, MISSING),
        },
    )


class Memory:
    """A store of given columns and runs."""

    def __init__(self, rows: Columns, runs: list[Run]) -> None:
        self.rows = rows
        self._runs = runs

    def run(self, run_id_or_prefix: str) -> Run | None:
        return next((r for r in self._runs if r.id == run_id_or_prefix), None)

    def runs(self, *, limit: int = 50, offset: int = 0, **_: Any) -> tuple[list[Run], int]:
        return self._runs[offset : offset + limit], len(self._runs)

    def columns(self, start_ns: int, end_ns: int) -> Columns:
        return self.rows.overlapping(start_ns, end_ns)

    def records(self, start_ns: int, end_ns: int, *, limit: int | None = None, **_: Any) -> list[Record]:
        first = (start_ns - T0) // SECOND
        return [failed(n, start=float(first + n), message="m" * 300) for n in range(limit or 0)]

    def gaps(self, start_ns: int, end_ns: int) -> list[Any]:
        return []

    def segments(self, since_ns: int) -> list[Any]:
        return []

    def incidents(self, limit: int = 50) -> list[Any]:
        return []

    def minutes(self, start_ns: int, end_ns: int) -> list[Any]:
        return []

    def folded_until(self) -> None:
        return None

    def oldest_ns(self) -> int:
        return T0
