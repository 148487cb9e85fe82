"""How a probe fared over minutes or a day, for a chart."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from monitor.live.cells import SECOND_NS, Grid, Seen, cells_of
from monitor.measure.columns import Columns
from monitor.store.history import Count, Minute
from monitor.store.retention import MINUTE_NS
from probes.record import Gap

MOST_CELLS = 1440
LONGEST_SECONDS = 86_400
MOST_REQUESTS = 100_000
"""With more requests than that they are only counted: reading each of them would take seconds and 100 MB."""


class Records(Protocol):
    """Requests, whether still in memory or in the store."""

    async def columns(self, begin_ns: int, end_ns: int) -> Columns: ...


class Older(Protocol):
    """The part of the store that tells of what memory has forgotten."""

    def gaps(self, start_ns: int, end_ns: int) -> Sequence[Gap]: ...

    def minutes(self, start_ns: int, end_ns: int) -> Sequence[Minute]: ...

    def counts(self, start_ns: int, end_ns: int, step_ns: int) -> Sequence[Count]: ...

    def folded_until(self) -> int | None: ...


def grid_until(now_ns: int, seconds: int, *, least_step: int = 1) -> Grid:
    """The last `seconds`, in no more than MOST_CELLS cells of whole seconds; the newest may not be over yet."""
    step = max(least_step, -(-seconds // MOST_CELLS))
    count = -(-seconds // step)
    last = now_ns // (step * SECOND_NS)
    return Grid((last - count + 1) * step * SECOND_NS, step * SECOND_NS, count)


async def series(
    rates: Mapping[str, float], records: Records, older: Older, now_ns: int, seconds: int
) -> dict[str, Any]:
    """The body of /api/v1/series; `rates` are requests per second by probe. Raises StoreError."""
    grid = grid_until(now_ns, seconds)
    folded = await asyncio.to_thread(older.folded_until)
    if folded is not None and folded > grid.start_ns:
        # What was folded by the minute has no finer place.
        grid = grid_until(now_ns, seconds, least_step=-(-grid.step_ns // MINUTE_NS) * MINUTE_NS // SECOND_NS)
    many = sum(rates.values()) * seconds > MOST_REQUESTS
    columns = Columns.empty() if many else await records.columns(grid.start_ns, grid.end_ns)
    return await asyncio.to_thread(partial(_series, rates, columns, older, now_ns=now_ns, grid=grid, many=many))


def _series(
    rates: Mapping[str, float], columns: Columns, older: Older, *, now_ns: int, grid: Grid, many: bool
) -> dict[str, Any]:
    span = (grid.start_ns, grid.end_ns)
    counts = older.counts(*span, grid.step_ns) if many else ()
    minutes = older.minutes(*span) if grid.step_ns >= MINUTE_NS else ()
    gaps = older.gaps(*span)
    found = {
        name: cells_of(name, Seen(columns, gaps, now_ns, minutes, counts, rate), grid).columns()
        for name, rate in rates.items()
    }
    return {"step_seconds": grid.step_ns // SECOND_NS, "probes": found}
