"""Figures over requests as columns: quantiles, speeds, buckets. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.measure.columns import ERRORS, MISSING, Columns, Int64
from monitor.report.model import Bucket, ErrorCount, Points, Quantiles, Speed
from monitor.report.thin import thin
from probes.record import FAILURES, ErrorClass, Outcome

SECOND = 10**9
KINDS = ("good", "slow", "failed", "lost")
_KIND_OF = {Outcome.GOOD: 0, Outcome.SLOW: 1, Outcome.FAILED: 2, Outcome.TRUNCATED: 2, Outcome.LOST: 3}


def quantiles(nanoseconds: Int64) -> Quantiles | None:
    """Of durations, in seconds; None of nothing. Linear between neighbours (numpy's and aiperf's default)."""
    if not len(nanoseconds):
        return None
    p50, p90, p99 = np.quantile(nanoseconds, (0.5, 0.9, 0.99)) / SECOND
    return Quantiles(
        count=len(nanoseconds),
        mean=float(nanoseconds.mean() / SECOND),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        longest=float(nanoseconds.max() / SECOND),
    )


def speed(rows: Columns, begin_ns: int, end_ns: int) -> Speed:
    """Of the requests that ended in [begin, end)."""
    return speed_of(rows.where((rows.end_ns >= begin_ns) & (rows.end_ns < end_ns)), begin_ns, end_ns)


def speed_of(ended: Columns, begin_ns: int, end_ns: int) -> Speed:
    """Of the given requests, whatever put them into [begin, end)."""
    good = ended.where(ended.has(Outcome.GOOD))
    return Speed(
        begin_ns=begin_ns,
        end_ns=end_ns,
        good=len(good),
        slow=int(np.count_nonzero(ended.has(Outcome.SLOW))),
        failed=int(np.count_nonzero(ended.has(*FAILURES))),
        lost=int(np.count_nonzero(ended.has(Outcome.LOST))),
        latency=quantiles(good.end_ns - good.start_ns),
        ttft=quantiles(good.ttft_ns[good.ttft_ns != MISSING]),
        inter_token=quantiles(good.inter_token_ns[good.inter_token_ns != MISSING]),
        throughput=len(good) * SECOND / (end_ns - begin_ns) if end_ns > begin_ns else None,
    )


def kinds(rows: Columns) -> NDArray[np.intp]:
    """For each row its position in KINDS."""
    table = np.array([_KIND_OF[o] for o in Outcome], np.intp)
    found: NDArray[np.intp] = table[rows.outcome]
    return found


def bucketed(rows: Columns, begin_ns: int, end_ns: int, width_ns: int) -> list[Bucket]:
    """Starts in [begin, end) in stretches of one width; the last may reach beyond the end."""
    count = max(1, -(-(end_ns - begin_ns) // width_ns))
    inside = rows.started(begin_ns, end_ns)
    place = (inside.start_ns - begin_ns) // width_ns
    table = np.bincount(place * len(KINDS) + kinds(inside), minlength=count * len(KINDS)).reshape(-1, len(KINDS))
    answered = inside.has(Outcome.GOOD, Outcome.SLOW)
    life = (inside.end_ns - inside.start_ns)[answered]
    edges = np.searchsorted(place[answered], np.arange(count + 1))
    made = []
    for i in range(count):
        part = life[edges[i] : edges[i + 1]]
        made.append(
            Bucket(
                start_ns=begin_ns + i * width_ns,
                **{kind: int(n) for kind, n in zip(KINDS, table[i], strict=True)},
                latency_p50=float(np.median(part)) / SECOND if len(part) else None,
                latency_longest=float(part.max()) / SECOND if len(part) else None,
            )
        )
    return made


def error_counts(rows: Columns, examples: dict[str, str]) -> list[ErrorCount]:
    """Errors of bad and lost requests, the most frequent first. `examples` are messages by class."""
    hurt = rows.where(~rows.has(Outcome.GOOD))
    found = []
    for code in np.unique(hurt.error):
        starts = hurt.start_ns[hurt.error == code]
        name = ERRORS[code].value if ERRORS[code] is not ErrorClass.NONE else "unknown"
        found.append(
            ErrorCount(
                error=name,
                count=len(starts),
                first_ns=int(starts[0]),
                last_ns=int(starts[-1]),
                example=examples.get(ERRORS[code].value, ""),
            )
        )
    return sorted(found, key=lambda e: (-e.count, e.error))


def points(rows: Columns, begin_ns: int, end_ns: int, buckets: int) -> Points:
    """The requests for a picture of [begin, end)."""
    kept = thin(rows, begin_ns, end_ns, buckets)
    return Points(
        base_ns=begin_ns,
        probes=rows.probes,
        start_us=_list((rows.start_ns[kept] - begin_ns) // 1000),
        life_us=_list((rows.end_ns[kept] - rows.start_ns[kept]) // 1000),
        ttft_us=_list(np.where(rows.ttft_ns[kept] == MISSING, MISSING, rows.ttft_ns[kept] // 1000)),
        outcome=_list(rows.outcome[kept]),
        probe=_list(rows.probe[kept]),
        of=len(rows),
    )


def _list(values: NDArray[np.signedinteger[Any]]) -> tuple[int, ...]:
    found: list[int] = values.tolist()
    return tuple(found)
