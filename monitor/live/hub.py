"""Tells everybody who looks, as it happens. Nothing is computed while nobody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Protocol

import orjson

from monitor.live.briefs import brief
from monitor.live.cells import SECOND_NS, Grid, Seen, cells_of
from monitor.measure.columns import Columns
from monitor.model import Run
from probes.record import Gap, Record

MOST_LISTENERS = 32
MOST_WAITING = 256
"""Events that a listener may be behind; about a minute."""
PING_SECONDS = 15.0
STATUS_SECONDS = 5.0
"""A status is told at least this often."""
RIPE_SECONDS = 3
"""A second is told when it is that old: most of its requests have ended by then."""
LATE_SECONDS = 30
"""... and again for that long when more of them end."""

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


class _Listener:
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

    def __init__(self, watched: Watched, probes: Sequence[str]) -> None:
        self._watched = watched
        self._probes = tuple(probes)
        self._listeners: set[_Listener] = set()
        self._closed = False
        self._told_status: Mapping[str, Any] = {}
        self._told_at_ns = 0
        self._told_seconds: dict[tuple[str, int], dict[str, Any]] = {}

    @property
    def listeners(self) -> int:
        """How many look now."""
        return len(self._listeners)

    def admit(self) -> None:
        """Raises `TooManyListenersError` when one more would be too many."""
        if len(self._listeners) >= MOST_LISTENERS:
            raise TooManyListenersError(f"{MOST_LISTENERS} pages are listening already; close one and try again")

    async def listen(self) -> AsyncIterator[bytes]:
        """Server-sent events, the status first; ends with the service, or with `lagged` for who reads too slowly."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            listener.put(_event("status", self._watched.status()))
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
        finally:
            self._listeners.discard(listener)

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
        rows = await asyncio.to_thread(self._count, now, self._watched.recent(LATE_SECONDS + RIPE_SECONDS + 1))
        for row in rows:
            self._tell(_event("second", row))

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
        grid = Grid((end - LATE_SECONDS) * SECOND_NS, SECOND_NS, LATE_SECONDS)
        seen = Seen(Columns.of(records), self._watched.gaps_since(grid.start_ns), now_ns)
        changed = []
        for probe in self._probes:
            for row in cells_of(probe, seen, grid).rows():
                key = (probe, int(row["at_ns"]))
                if self._told_seconds.get(key) != row:
                    self._told_seconds[key] = row
                    changed.append({"probe": probe, **row})
        self._told_seconds = {key: row for key, row in self._told_seconds.items() if key[1] >= grid.start_ns}
        return sorted(changed, key=lambda row: int(row["at_ns"]))


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
