"""Which workers lived, by metrics that each of them has from its first moment on. Pure.

Five things that look alike in a graph are told apart: the target could not be scraped (`up` is 0), nobody
scraped it any more, it was scraped and a worker's series were gone, a worker was there that had not been,
and a worker had begun to count from 0 again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from monitor.measure.columns import Int64
from monitor.measure.increments import grid_of
from monitor.measure.prometheus import Series
from monitor.model import WorkerEvent

Target = tuple[str, str]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Workers:
    """Who was there at the injection, who at the end, and what happened in between."""

    before: int | None = None
    after: int | None = None
    events: tuple[WorkerEvent, ...] = ()


def workers_of(series: Sequence[Series], up: Sequence[Series], label: str, *, span: Span, hole: int) -> Workers:
    """`series` are those that every worker has; `hole` (ns) is how long a silence is a silence. None without any."""
    if not series:
        return Workers()
    grouped: dict[Target, dict[str, list[Series]]] = defaultdict(lambda: defaultdict(list))
    for one in series:
        grouped[one.target][one.labels.get(label, "")].append(one)
    events: list[WorkerEvent] = []
    for target, by_id in grouped.items():
        ups = [u for u in up if u.target == target]
        mine = [s for group in by_id.values() for s in group]
        grid = grid_of(mine, ups)
        events += _of_target(target[1] or target[0], ups, grid, span, hole)
        for worker_id, group in by_id.items():
            events += _of_worker((target[1] or target[0], worker_id), group, grid, span)
    events.sort(key=lambda e: (e.at_ns, e.instance, e.worker_id))
    everyone = [_lives(group) for by_id in grouped.values() for group in by_id.values()]
    return Workers(
        before=sum(_there(lives, span[0], hole) for lives in everyone),
        after=sum(_there(lives, span[1], hole) for lives in everyone),
        events=tuple(events),
    )


def _lives(group: Sequence[Series]) -> Int64:
    return np.unique(np.concatenate([times for s in group for times in (s.times, s.unknown)]))


def _there(lives: Int64, at: int, hole: int) -> bool:
    return bool(((lives <= at) & (lives > at - hole)).any())


def _of_target(instance: str, ups: Sequence[Series], grid: Int64, span: Span, hole: int) -> Iterator[WorkerEvent]:
    failed = np.setdiff1d(np.concatenate([u.times[u.values == 0] for u in ups] or [np.empty(0, np.int64)]), grid)
    run: list[int] = []
    for at in [*failed.tolist(), None]:
        if run and (at is None or ((grid > run[-1]) & (grid < at)).any()):
            if run[-1] > span[0] and run[0] <= span[1]:
                yield _event("down", instance, run[0], grid, until=_next(grid, run[-1]))
            run = []
        if at is not None:
            run.append(at)
    tried = np.union1d(grid, failed)
    edges = [*tried.tolist(), max(span[1], int(tried[-1]))]
    for a, b in pairwise(edges):
        if b - a > hole and b > span[0] and a < span[1]:
            yield _event("not_scraped", instance, a, grid, until=_next(grid, a), since=a)


def _of_worker(who: tuple[str, str], group: Sequence[Series], grid: Int64, span: Span) -> Iterator[WorkerEvent]:
    instance, worker_id = who
    lives = _lives(group)
    first, last = int(lives[0]), int(lives[-1])
    if first > span[0]:
        yield _event("appeared", instance, first, grid, worker_id=worker_id)
    gone = _next(grid, last)
    if gone is not None and span[0] < gone <= span[1]:
        yield _event("vanished", instance, gone, grid, worker_id=worker_id)
    falls = {int(t) for s in group for t in s.times[1:][np.diff(s.values) < 0]}
    for at in sorted(falls):
        if span[0] < at <= span[1]:
            yield _event("restarted", instance, at, grid, worker_id=worker_id)


def _event(
    what: str,
    instance: str,
    at: int,
    grid: Int64,
    *,
    worker_id: str = "",
    until: int | None = None,
    since: int | None = None,
) -> WorkerEvent:
    before = grid[grid < at]
    known = int(before[-1]) if len(before) else None
    return WorkerEvent.model_validate(
        {
            "what": what,
            "instance": instance,
            "worker_id": worker_id,
            "at_ns": at,
            "since_ns": known if since is None else since,
            "until_ns": until,
        }
    )


def _next(grid: Int64, after: int) -> int | None:
    later = grid[grid > after]
    return int(later[0]) if len(later) else None
