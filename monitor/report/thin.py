"""Fewer requests for a picture of the same look. Pure.

Kept: every request that was not good, and of the good ones of each probe, in each of `buckets` stretches of
time, the first, the last, and the least and the greatest of each measure. So a picture of the kept ones has
every failure and every extreme, and no stretch of time looks empty that was not.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.measure.columns import MISSING, Columns, Int64
from probes.record import Outcome

Positions = NDArray[np.intp]


def thin(rows: Columns, begin_ns: int, end_ns: int, buckets: int) -> Positions:
    """Positions of the kept rows, ascending. Rows must be sorted by start, as columns are.

    At most 6 good requests a bucket and probe stay. Raises ValueError without a bucket.
    """
    if buckets < 1:
        raise ValueError(f"a picture needs at least one bucket, not {buckets}")
    good = rows.has(Outcome.GOOD)
    kept: list[Positions] = [np.flatnonzero(~good)]
    width = max(1, -(-(end_ns - begin_ns) // buckets))
    for code in range(len(rows.probes)):
        chosen = np.flatnonzero(good & (rows.probe == code))
        if len(chosen):
            kept.extend(_extremes(rows, chosen, (rows.start_ns[chosen] - begin_ns) // width))
    return np.unique(np.concatenate(kept))


def _extremes(rows: Columns, chosen: Positions, bucket: Int64) -> Iterator[Positions]:
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(bucket)) + 1))
    lasts = np.concatenate((firsts[1:] - 1, [len(chosen) - 1]))
    yield chosen[firsts]
    yield chosen[lasts]
    yield from _least_and_greatest(chosen, bucket, rows.end_ns[chosen] - rows.start_ns[chosen])
    ttft = rows.ttft_ns[chosen]
    seen = ttft != MISSING
    if np.any(seen):
        yield from _least_and_greatest(chosen[seen], bucket[seen], ttft[seen])


def _least_and_greatest(chosen: Positions, bucket: Int64, value: Int64) -> Iterator[Positions]:
    order = np.lexsort((value, bucket))
    edges = np.flatnonzero(np.diff(bucket[order]))
    yield chosen[order[np.concatenate(([0], edges + 1))]]
    yield chosen[order[np.concatenate((edges, [len(order) - 1]))]]
