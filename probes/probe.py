"""A continuous load and what it yields: one stream of records, gaps and closed books."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from probes.fleet import SECOND_NS, Fleet
from probes.gaps import GapWatch
from probes.record import Gap, InFlight, ProbeEvent, SegmentClosed
from probes.segment import Segment
from probes.spec import EndpointSpec, ProbeSpec

log = logging.getLogger(__name__)

POLL_SECONDS = 0.02
STALE_POLL_SECONDS = 5.0
"""If the files were not read for so long, nothing is known about the load and it is not called up."""


@dataclass(frozen=True, slots=True)
class ProbeState:
    """A probe at one moment. Instants are on the monitor's clock; counts are since start()."""

    up: bool
    """A request was started within the last 2.5 intervals (at least one interval and 0.75 s)."""
    segment: int | None
    """The process that sends, or will."""
    last_start_ns: int | None
    in_flight: tuple[InFlight, ...]
    overdue: tuple[InFlight, ...]
    sent: int
    recorded: int
    lost: int
    gap: Gap | None
    pids: tuple[int, ...]
    trouble: str = ""
    """Why the latest process ended before its time, until one sends again."""


@dataclass(slots=True)
class _Totals:
    sent: int = 0
    recorded: int = 0
    lost: int = 0

    def add(self, segment: Segment) -> None:
        books = segment.tail.books
        self.sent += books.sent
        self.recorded += books.recorded
        self.lost += books.lost


class Probe:
    """Keeps one load going until stopped, through outages of the deployment and deaths of aiperf.

    `directory` belongs to this probe alone. `sink` is called on the event loop and must neither block nor raise.
    start() and stop() must be called on the same loop, from a thread that outlives the load: the kernel ends aiperf
    when the thread that launched it ends.
    """

    def __init__(
        self,
        spec: ProbeSpec,
        endpoint: EndpointSpec,
        directory: Path,
        *,
        from_monotonic: Callable[[int], int],
        sink: Callable[[ProbeEvent], None],
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.spec = spec
        self.endpoint = endpoint
        self._from_monotonic = from_monotonic
        self._monotonic = monotonic
        self._sink = sink
        self._fleet = Fleet(spec, endpoint, directory.absolute(), from_monotonic, self._on_death)
        self._watch = GapWatch(spec.name, spec.interval_ns)
        self._gap: Gap | None = None
        """The open gap as it was told."""
        self._task: asyncio.Task[None] | None = None
        self._clearing: set[asyncio.Task[None]] = set()
        self._ending = False
        self._closed = _Totals()
        self._begun_ns = 0
        self._polled_ns = 0
        self._trouble = ""

    async def start(self) -> None:
        """Launch the first aiperf and return; its first request comes some seconds later. Raises OSError."""
        await asyncio.to_thread(self._fleet.prepare)
        self._ending = False
        self._begun_ns = self._polled_ns = self._monotonic()
        await self._fleet.launch(self._begun_ns)
        self._task = asyncio.create_task(self._run(), name=f"probe {self.spec.name}")

    async def stop(self) -> None:
        """Stop the load within about ten seconds: records flushed, books closed, no process and no folder left."""
        self._ending = True
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task})
            if error := task.exception():
                log.error("probe %s had failed: %r", self.spec.name, error)
        await self._fleet.stop()
        now = self._monotonic()
        self._read(now)
        self._close_finished(now)
        self._end_gap(now)
        if self._clearing:
            await asyncio.wait(self._clearing)

    def state(self) -> ProbeState:
        """Cheap enough to ask several times a second."""
        now = self._monotonic()
        live = self._fleet.live
        totals = _Totals(self._closed.sent, self._closed.recorded, self._closed.lost)
        for segment in live:
            totals.add(segment)
        in_flight = tuple(item for segment in live for item in self._in_flight(segment))
        overdue_since = self._from_monotonic(now) - round(self.spec.overdue_seconds * SECOND_NS)
        sending = self._fleet.sender or (live[-1] if live else None)
        return ProbeState(
            up=self._is_up(now),
            segment=sending.number if sending else None,
            last_start_ns=None
            if self._watch.last_start_ns is None
            else self._from_monotonic(self._watch.last_start_ns),
            in_flight=in_flight,
            overdue=tuple(item for item in in_flight if item.start_ns <= overdue_since),
            sent=totals.sent,
            recorded=totals.recorded,
            lost=totals.lost,
            gap=self._gap,
            pids=tuple(s.pid for s in live if not s.exited),
            trouble=self._trouble,
        )

    async def _run(self) -> None:
        while not self._ending:
            # The clock is read before the files: a start that they do not hold had not happened at `now`.
            now = self._monotonic()
            self._read(now)
            self._tell_gap(self._watch.look(now, self._trouble))
            self._polled_ns = now
            await self._fleet.step(now)
            self._close_finished(now)
            await asyncio.sleep(POLL_SECONDS)

    def _read(self, now: int) -> None:
        starts: list[int] = []
        recovered = False
        for segment in self._fleet.live:
            began, records = segment.tail.poll(now)
            if began and segment.first_start_ns is None:
                self._fleet.first_request(segment, began[0])
            if not segment.exited:
                segment.seen_ns = now
            starts += began
            recovered |= bool(began) and segment.stopping is None and not segment.exited
            for record in records:
                self._sink(record)
        for at in sorted(starts):
            self._tell_gap(self._watch.started(at, self._trouble))
        if recovered:
            self._trouble = ""

    def _close_finished(self, now: int) -> None:
        finished = self._fleet.finished()
        if finished:
            self._read(now)  # their files may have grown since, and are complete now
        for segment in finished:
            books = segment.tail.books
            for record in books.close(segment.seen_ns, segment.stop_reason):
                self._sink(record)
            self._fleet.live.remove(segment)
            self._closed.add(segment)
            self._sink(self._closing_entry(segment, now))
            segment.tail.close()
            task = asyncio.create_task(asyncio.to_thread(shutil.rmtree, segment.paths.root, True))
            self._clearing.add(task)
            task.add_done_callback(self._clearing.discard)

    def _closing_entry(self, segment: Segment, now: int) -> SegmentClosed:
        books = segment.tail.books
        return SegmentClosed(
            probe=self.spec.name,
            segment=segment.number,
            started_ns=self._from_monotonic(segment.first_start_ns or segment.launched_ns),
            ended_ns=self._from_monotonic(now),
            sent=books.sent,
            recorded=books.recorded,
            lost=books.lost,
            unsent=books.unsent,
            exit_code=segment.process.returncode,
            reason=segment.stop_reason,
        )

    def _on_death(self, reason: str, still_sending: bool) -> None:
        if still_sending:
            return
        self._trouble = reason
        self._tell_gap(self._watch.never_started(self._begun_ns, reason))

    def _end_gap(self, now: int) -> None:
        """Nothing is due any more once the probe is stopped."""
        if self._gap is not None:
            self._tell_gap(self._watch.started(now, f"{self._gap.reason}; the probe was stopped"))

    def _tell_gap(self, gap: Gap | None) -> None:
        """Pass a gap on, on the monitor's clock; it keeps the start under which it was opened if that clock is set anew."""
        if gap is None:
            return
        start = self._gap.start_ns if self._gap else self._from_monotonic(gap.start_ns)
        end = None if gap.end_ns is None else max(start, self._from_monotonic(gap.end_ns))
        told = replace(gap, start_ns=start, end_ns=end)
        self._gap = told if end is None else None
        self._sink(told)

    def _is_up(self, now: int) -> bool:
        fresh = now - self._polled_ns < STALE_POLL_SECONDS * SECOND_NS
        return fresh and self._task is not None and self._watch.up(self._polled_ns)

    def _in_flight(self, segment: Segment) -> list[InFlight]:
        return [
            InFlight(self.spec.name, segment.number, s.number, s.request_id, self._from_monotonic(s.at_ns))
            for s in segment.tail.books.unrecorded
        ]
