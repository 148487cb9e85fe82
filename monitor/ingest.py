"""Takes what the probes yield: remembers the last minutes, counts, and writes batches to the store.

Memory is bounded: the window holds MEMORY_SECONDS or MEMORY_RECORDS, whichever ends first. When the
store refuses, up to PENDING_RECORDS records wait for it; beyond that the oldest are dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from monitor.clock import Clock
from monitor.incidents import RecentStats
from monitor.measure.columns import Columns
from monitor.store.errors import StoreError
from probes.record import BAD, FAILURES, Gap, Outcome, ProbeEvent, Record, SegmentClosed

log = logging.getLogger(__name__)

MEMORY_SECONDS = 600.0
MEMORY_RECORDS = 60_000
PENDING_RECORDS = 50_000
BATCH_RECORDS = 5_000
WRITE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 2.0
"""Between two attempts while the store refuses."""
CLOSE_SECONDS = 5.0


class RecordStore(Protocol):
    """The part of the store that the ingest needs."""

    on_error: Callable[[StoreError], None]

    def add(self, batch: Sequence[Record], gaps: Sequence[Gap], segments: Sequence[SegmentClosed]) -> None: ...

    def columns(self, start_ns: int, end_ns: int) -> Columns: ...

    def records(self, start_ns: int, end_ns: int) -> list[Record]: ...

    def check(self) -> None: ...


class RecordMetrics(Protocol):
    """The part of the metrics that the ingest needs."""

    def record_request(self, record: Record) -> None: ...

    def gap(self, gap: Gap) -> None: ...

    def store_error(self) -> None: ...

    def store_dropped(self, count: int) -> None: ...


class Ingest:
    """The sink of all probes. Everything but the writing itself happens on the event loop."""

    def __init__(
        self,
        store: RecordStore,
        metrics: RecordMetrics,
        clock: Clock,
        *,
        memory_seconds: float = MEMORY_SECONDS,
        memory_records: int = MEMORY_RECORDS,
        pending_records: int = PENDING_RECORDS,
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._clock = clock
        self._memory_ns = round(memory_seconds * 1e9)
        self._memory_records = memory_records
        self._pending_records = pending_records
        self._memory: deque[tuple[int, Record]] = deque()
        self._complete_after_ns = clock.now_ns()
        self._records: deque[Record] = deque()
        self._gaps: list[Gap] = []
        self._segments: list[SegmentClosed] = []
        self._bad_total = 0
        self._dropped = 0
        self._trouble = ""
        self._writing = asyncio.Lock()
        self._closing = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        store.on_error = self._count_error

    # --- life -------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to write. Raises StoreError when the store does not take anything."""
        await asyncio.to_thread(self._store.check)
        self._writer = asyncio.create_task(self._write_on())

    async def flush(self) -> None:
        """Write everything taken so far. Raises StoreError; what was not written stays pending."""
        while self._pending:
            await self._write_batch()

    async def close(self) -> None:
        """Stop the writer and flush, bounded; says in the log what had to be given up."""
        self._closing.set()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._writer is not None:
                    await self._writer
                await self.flush()
        except (StoreError, TimeoutError) as error:
            log.error("%d records could not be stored before the end: %s", len(self._records), error or "timeout")  # noqa: TRY400 - the text says it all

    # --- what the probes call ---------------------------------------------------------------

    def take(self, event: ProbeEvent) -> None:
        """The sink: count it, remember it, queue it. Never blocks, never raises."""
        if isinstance(event, Record):
            self._metrics.record_request(event)
            self._bad_total += event.outcome in BAD
            self._remember(event)
            self._records.append(event)
            self._bound_pending()
        elif isinstance(event, Gap):
            self._metrics.gap(event)
            self._gaps.append(event)
        else:
            self._segments.append(event)

    # --- what others ask --------------------------------------------------------------------

    @property
    def healthy(self) -> tuple[bool, str]:
        """Whether the last write worked, and why not."""
        return not self._trouble, self._trouble

    @property
    def pending_records(self) -> int:
        """Records that wait to be stored."""
        return len(self._records)

    def recent(self, seconds: float, now_ns: int) -> list[Record]:
        """Requests in memory whose life touches the last `seconds`, in order of arrival."""
        cut = now_ns - round(seconds * 1e9)
        found = [r for r in self._newest(cut) if r.end_ns >= cut]
        found.reverse()
        return found

    async def columns(self, begin_ns: int, end_ns: int) -> Columns:
        """All requests whose life touches [begin, end): from memory, and from the store for what memory has forgotten.

        Raises StoreError when the store is needed and refuses.
        """
        now = self._clock.now_ns()
        inside = [r for r in self.recent(max(0, now - begin_ns) / 1e9, now) if r.start_ns < end_ns]
        if begin_ns > self._complete_after_ns:
            return await asyncio.to_thread(Columns.of, inside)
        await self.flush()
        return await asyncio.to_thread(self._store.columns, begin_ns, end_ns)

    async def requests(self, begin_ns: int, end_ns: int) -> list[Record]:
        """The same requests with their ids. Raises StoreError when the store is needed and refuses."""
        now = self._clock.now_ns()
        if begin_ns > self._complete_after_ns:
            return [r for r in self.recent(max(0, now - begin_ns) / 1e9, now) if r.start_ns < end_ns]
        await self.flush()
        return await asyncio.to_thread(self._store.records, begin_ns, end_ns)

    def recent_stats(self, window_seconds: float, now_ns: int, probe: str | None = None) -> RecentStats:
        """Requests that ended in the window that ends now, of one probe or of all."""
        cut = now_ns - round(window_seconds * 1e9)
        inside = [r for r in self._newest(cut) if cut < r.end_ns <= now_ns and (probe is None or r.probe == probe)]
        seen = [r for r in inside if r.outcome is not Outcome.LOST]
        bad = [r for r in seen if r.outcome in BAD]
        first = min(bad, key=lambda r: r.start_ns, default=None)
        return RecentStats(
            window_seconds=window_seconds,
            requests=len(seen),
            bad=len(bad),
            failed=sum(r.outcome in FAILURES for r in bad),
            lost=len(inside) - len(seen),
            first_bad_ns=first.start_ns if first else None,
            last_bad_ns=max((r.end_ns for r in bad), default=None),
            first_error=_describe(first) if first else "",
            bad_total=self._bad_total,
        )

    # --- memory -----------------------------------------------------------------------------

    def _remember(self, record: Record) -> None:
        now = self._clock.now_ns()
        self._memory.append((now, record))
        oldest = now - self._memory_ns
        while self._memory and (self._memory[0][0] < oldest or len(self._memory) > self._memory_records):
            _, forgotten = self._memory.popleft()
            self._complete_after_ns = max(self._complete_after_ns, forgotten.end_ns)

    def _newest(self, cut_ns: int) -> Iterator[Record]:
        """Records that arrived since the instant, newest first: one that ended after it cannot have arrived before it."""
        for arrived_ns, record in reversed(self._memory):
            if arrived_ns < cut_ns:
                return
            yield record

    # --- writing ----------------------------------------------------------------------------

    @property
    def _pending(self) -> bool:
        return bool(self._records or self._gaps or self._segments)

    async def _write_on(self) -> None:
        pause = WRITE_SECONDS
        while not self._closing.is_set():
            try:
                async with asyncio.timeout(pause):
                    await self._closing.wait()
            except TimeoutError:
                pause = await self._write_and_pace(pause)

    async def _write_and_pace(self, pause: float) -> float:
        try:
            if self._pending:
                await self._write_batch()
            elif self._trouble:
                await asyncio.to_thread(self._store.check)
                self._recovered()
        except StoreError as error:
            self._refused(error)
            return min(pause * 2, LONGEST_PAUSE_SECONDS)
        return 0.0 if len(self._records) >= BATCH_RECORDS else WRITE_SECONDS

    async def _write_batch(self) -> None:
        async with self._writing:
            batch = [self._records.popleft() for _ in range(min(BATCH_RECORDS, len(self._records)))]
            gaps, self._gaps = self._gaps, []
            segments, self._segments = self._segments, []
            try:
                await asyncio.to_thread(self._store.add, batch, gaps, segments)
            except BaseException:
                self._put_back(batch, gaps, segments)
                raise
            self._recovered()

    def _put_back(self, batch: list[Record], gaps: list[Gap], segments: list[SegmentClosed]) -> None:
        """A batch may have been written after all (a cancelled wait); the store takes it twice without harm."""
        self._records.extendleft(reversed(batch))
        self._gaps = [*gaps, *self._gaps]
        self._segments = [*segments, *self._segments]
        self._bound_pending()

    def _bound_pending(self) -> None:
        over = len(self._records) - self._pending_records
        for _ in range(over):
            self._records.popleft()
        if over > 0:
            self._dropped += over
            self._metrics.store_dropped(over)
        del self._gaps[: -self._pending_records]
        del self._segments[: -self._pending_records]

    def _count_error(self, _error: StoreError) -> None:
        self._metrics.store_error()

    def _refused(self, error: StoreError) -> None:
        if not self._trouble:
            log.error("the store refuses; up to %d records wait for it: %s", self._pending_records, error)
        self._trouble = str(error)

    def _recovered(self) -> None:
        if self._trouble:
            log.warning("the store takes records again; %d were dropped while it did not", self._dropped)
        self._trouble = ""
        self._dropped = 0


def _describe(record: Record) -> str:
    text = " ".join(record.message.split())[:200]
    return f"{record.error}: {text}" if text else str(record.error)
