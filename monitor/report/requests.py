"""All requests of a period, read stretch by stretch, so that memory holds one stretch and a few numbers a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from monitor.measure.columns import MISSING, Bool, Columns, Int64
from monitor.measure.windows import union
from monitor.report.figures import bucketed, error_counts, kinds, quantiles
from monitor.report.model import Bucket, Budget, ErrorCount, Speed
from monitor.report.of_run import examples
from monitor.report.source import STRETCH_NS, Source
from probes.record import BAD, Outcome

SECOND = 10**9
EXAMPLES = 500


@dataclass(slots=True)
class Requests:
    """What is kept of them."""

    begin_ns: int
    end_ns: int
    buckets: list[Bucket] = field(default_factory=list)
    probes: set[str] = field(default_factory=set)
    counts: Int64 = field(default_factory=lambda: np.zeros(4, np.int64))
    """By kind: good, slow, failed, lost."""
    first_ns: int | None = None
    last_ns: int | None = None
    folded_good: int = 0
    _lives: list[Int64] = field(default_factory=list)
    _ttfts: list[Int64] = field(default_factory=list)
    _itls: list[Int64] = field(default_factory=list)
    _bad: list[Columns] = field(default_factory=list)
    _examples: dict[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        """Requests that are known one by one."""
        return int(self.counts.sum())

    def take(self, rows: Columns) -> None:
        """Rows that started in one stretch."""
        if not len(rows):
            return
        self.probes.update(rows.probes)
        self.note(int(rows.start_ns[0]))
        self.note(int(rows.start_ns[-1]))
        self.counts += np.bincount(kinds(rows), minlength=4)
        good = rows.where(rows.has(Outcome.GOOD))
        self._lives.append(good.end_ns - good.start_ns)
        self._ttfts.append(good.ttft_ns[good.ttft_ns != MISSING])
        self._itls.append(good.inter_token_ns[good.inter_token_ns != MISSING])
        self._bad.append(rows.where(~rows.has(Outcome.GOOD)))

    def note(self, ns: int) -> None:
        """Something was known at this instant."""
        self.first_ns = ns if self.first_ns is None else min(self.first_ns, ns)
        self.last_ns = ns if self.last_ns is None else max(self.last_ns, ns)

    @property
    def silent(self) -> int:
        """Buckets between the first and the last request that have none."""
        known = [i for i, b in enumerate(self.buckets) if b.good or b.slow or b.failed or b.lost]
        return known[-1] - known[0] + 1 - len(known) if known else 0

    def note_examples(self, found: dict[str, str]) -> None:
        """Messages by class of error; the first one stays."""
        self._examples = found | self._examples

    def speed(self) -> Speed:
        """Of the whole period: quantiles over all requests at once."""
        good, slow, failed, lost = (int(n) for n in self.counts)
        span = (self.end_ns - max(self.begin_ns, self.first_ns or self.begin_ns)) / SECOND
        return Speed(
            begin_ns=self.begin_ns,
            end_ns=self.end_ns,
            good=good + self.folded_good,
            slow=slow,
            failed=failed,
            lost=lost,
            latency=quantiles(_joined(self._lives)),
            ttft=quantiles(_joined(self._ttfts)),
            inter_token=quantiles(_joined(self._itls)),
            throughput=(good + self.folded_good) / span if span > 0 else None,
            folded_good=self.folded_good,
        )

    def errors(self) -> tuple[ErrorCount, ...]:
        """By class, the most frequent first."""
        return tuple(error_counts(Columns.concat(self._bad), self._examples)) if self._bad else ()

    def budget(
        self, promised: float, in_runs: Sequence[tuple[int, int]], in_incidents: Sequence[tuple[int, int]]
    ) -> Budget:
        """Whom the bad requests are to be charged to: a run of ours first, then an incident."""
        bad = Columns.concat(self._bad) if self._bad else Columns.empty()
        bad = bad.where(bad.has(*BAD))
        ours = _inside(bad, in_runs)
        theirs = _inside(bad, in_incidents) & ~ours
        return Budget(
            good_ratio_promised=promised,
            judged=int(self.counts[:3].sum()) + self.folded_good,
            bad=len(bad),
            bad_in_runs=int(np.count_nonzero(ours)),
            bad_in_incidents=int(np.count_nonzero(theirs)),
            bad_otherwise=int(np.count_nonzero(~ours & ~theirs)),
        )


def gather(source: Source, begin_ns: int, end_ns: int, width_ns: int) -> Requests:
    """Read everything that started in [begin, end); stretches are whole buckets, so that each bucket is read at once."""
    found = Requests(begin_ns, end_ns)
    step = max(width_ns, STRETCH_NS // width_ns * width_ns)  # a period has at most a few thousand of them
    oldest = source.oldest_ns()
    for low in range(begin_ns, end_ns, step):
        high = min(low + step, end_ns)
        known = oldest is not None and oldest < high
        rows = source.columns(low, high).started(low, high) if known else Columns.empty()
        found.take(rows)
        found.buckets += bucketed(rows, low, high, width_ns)
    _add_folded(found, source, width_ns)
    found.note_examples(examples(source.records(begin_ns, end_ns, bad_only=True, limit=EXAMPLES)))
    return found


def _add_folded(found: Requests, source: Source, width_ns: int) -> None:
    """Good requests of which only the count a minute is left."""
    more: dict[int, int] = {}
    for minute in source.minutes(found.begin_ns, found.end_ns):
        at = max(minute.minute_ns, found.begin_ns)
        place = (at - found.begin_ns) // width_ns
        more[place] = more.get(place, 0) + minute.good
        found.folded_good += minute.good
        found.probes.add(minute.probe)
        found.note(at)
    for place, good in more.items():
        bucket = found.buckets[place]
        found.buckets[place] = bucket.model_copy(update={"good": bucket.good + good})


def _inside(rows: Columns, windows: Sequence[tuple[int, int]]) -> Bool:
    """Mask of the rows whose life touches one of the windows."""
    merged = union(windows)
    begins = np.array([b for b, _ in merged], np.int64)
    ends = np.array([e for _, e in merged], np.int64)
    behind = np.searchsorted(ends, rows.start_ns, side="left")
    mask = np.zeros(len(rows), np.bool_)
    near = behind < len(merged)
    mask[near] = begins[behind[near]] <= rows.end_ns[near]
    return mask


def _joined(parts: Sequence[Int64]) -> Int64:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)
