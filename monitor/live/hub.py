"""Tells everybody who looks, as it happens. Nothing is computed while nobody does."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import orjson

from monitor.live.briefs import brief
from monitor.live.cells import SECOND_NS, Grid, Seen, cells_of
from monitor.measure.columns import Columns
from monitor.model import Run
from probes.record import Gap, Record

MOST_LISTENERS = 32
MOST_WAITING = 256
"""Messages that a listener may be behind; about two minutes. The seconds of one look are one message."""
PING_SECONDS = 15.0
STATUS_SECONDS = 5.0
"""A status is told at least this often."""
RIPE_SECONDS = 3
"""A second is told when it is that old: most of its requests have ended by then."""
LATE_SECONDS = 30
"""... and again for that long when more of them end, or until the longest request has timed out."""
LATEST_SECONDS = 120
"""... but no longer: at 50 requests a second that is 30 ms of work a second. Older ones are in the series."""

PING = b": ping\n\n"
LAGGED = b"event: lagged\ndata: {}\n\n"


class TooManyListenersError(Exception):
    """One line."""


class Watched(Protocol):
    """What of the service is looked at."""

    def status(self) -> dict[str, Any]: ...

    def recent(self, seconds: float) -> Sequence[Record]:
        """Requests whose life touches the last `seconds`."""
        ...

    def gaps_since(self, since_ns: int) -> Sequence[Gap]: ...

    def now_ns(self) -> int: ...


class Listener:
    """Who looks: what it was not sent yet, bounded."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue(MOST_WAITING)
        self.lagging = False

    def put(self, message: bytes | None) -> None:
        try:
            self.queue.put_nowait(message)
        except asyncio.QueueFull:
            self.lagging = True


class Hub:
    """One a service; everything on its event loop."""

    def __init__(
        self, watched: Watched, probes: Sequence[str], *, longest_request_seconds: float = 0.0, since_ns: int = 0
    ) -> None:
        """Of seconds before `since_ns` nothing is told: memory does not know them, the store may."""
        self._watched = watched
        self._since_ns = since_ns
        self._probes = tuple(probes)
        late = max(LATE_SECONDS, math.ceil(longest_request_seconds) + RIPE_SECONDS)
        self._late_seconds = min(LATEST_SECONDS, late)
        self._listeners: set[Listener] = set()
        self._closed = False
        self._told_status: Mapping[str, Any] = {}
        self._told_at_ns = 0
        self._told_seconds: dict[tuple[str, int], dict[str, Any]] = {}

    @property
    def listeners(self) -> int:
        """How many look now."""
        return len(self._listeners)

    @contextmanager
    def seat(self) -> Iterator[Listener]:
        """A place among the listeners, taken at once. Raises `TooManyListenersError` when there is none."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise TooManyListenersError(f"{MOST_LISTENERS} pages are listening already; close one and try again")
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def listen(self, listener: Listener) -> AsyncIterator[bytes]:
        """Server-sent events, the status first; ends with the service, or with `lagged` for who reads too slowly."""
        yield _event("status", self._watched.status()) + _seconds(self._told_seconds.values())
        while not self._closed:
            if listener.lagging:
                yield LAGGED
                return
            try:
                async with asyncio.timeout(PING_SECONDS):
                    message = await listener.queue.get()
            except TimeoutError:
                yield PING
                continue
            if message is None:
                return
            yield message

    def close(self) -> None:
        """End every stream."""
        self._closed = True
        for listener in self._listeners:
            listener.put(None)

    # --- what the service says --------------------------------------------------------------

    def run_changed(self, run: Run) -> None:
        """A run was created, changed its phase or finished."""
        if self._listeners:
            self._tell(_event("run", brief(run)))

    async def tick(self) -> None:
        """Call about once a second."""
        if not self._listeners:
            self._told_seconds.clear()
            return
        now = self._watched.now_ns()
        self._tell_status(now)
        rows = await asyncio.to_thread(self._count, now, self._watched.recent(self._late_seconds + RIPE_SECONDS + 1))
        if rows:
            self._tell(_seconds(rows))

    # --- inside -----------------------------------------------------------------------------

    def _tell(self, message: bytes) -> None:
        for listener in self._listeners:
            listener.put(message)

    def _tell_status(self, now_ns: int) -> None:
        status = self._watched.status()
        same = {**status, "now_ns": 0} == self._told_status
        if same and now_ns - self._told_at_ns < STATUS_SECONDS * 1e9:
            return
        self._told_status, self._told_at_ns = {**status, "now_ns": 0}, now_ns
        self._tell(_event("status", status))

    def _count(self, now_ns: int, records: Sequence[Record]) -> list[dict[str, Any]]:
        """The ripe seconds that are new, or have changed since they were told."""
        end = now_ns // SECOND_NS - RIPE_SECONDS + 1
        grid = Grid((end - self._late_seconds) * SECOND_NS, SECOND_NS, self._late_seconds)
        seen = Seen(Columns.of(records), self._watched.gaps_since(grid.start_ns), now_ns)
        told, changed = dict(self._told_seconds), []
        for probe in self._probes:
            for row in cells_of(probe, seen, grid).rows():
                if row["at_ns"] < self._since_ns:
                    continue
                key, second = (probe, int(row["at_ns"])), {"probe": probe, **row}
                if told.get(key) != second:
                    told[key] = second
                    changed.append(second)
        self._told_seconds = {key: row for key, row in told.items() if key[1] >= grid.start_ns}
        return changed


def _seconds(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Oldest first; one message, for the first look of many probes has more seconds than a listener may be behind."""
    return b"".join(_event("second", row) for row in sorted(rows, key=lambda row: int(row["at_ns"])))


def _event(name: str, data: Any) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (
        name.encode(),
        orjson.dumps(data, default=_plain, option=orjson.OPT_NON_STR_KEYS),
    )


def _plain(value: Any) -> Any:
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{type(value).__name__} is no JSON")
