"""Reads what one aiperf process writes and keeps its books: every request ends as a record, in flight, or lost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from probes.classify import HELD
from probes.command import SegmentPaths
from probes.parse import (
    Context,
    ExportLine,
    JournalEnd,
    JournalStart,
    build_record,
    lost_record,
    parse_export,
    parse_journal,
    record_without_journal,
)
from probes.record import Outcome, Record

READ_BYTES = 1 << 20
MAX_LINE_BYTES = 64 << 20
EXPORT_WAIT_NS = 2_000_000_000
"""So long an ended request waits for aiperf's own line before its record is made without it."""


class LineFile:
    """Complete new lines of a growing file that may not exist yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._rest = b""

    def read(self) -> list[bytes]:
        """Lines added since the last call, without line ends; an unfinished last line stays for the next call."""
        if self._fd is None:
            try:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return []
        lines: list[bytes] = []
        while chunk := os.read(self._fd, READ_BYTES):
            *complete, self._rest = (self._rest + chunk).split(b"\n")
            lines += complete
            if len(self._rest) > MAX_LINE_BYTES:
                self._rest = b""  # no record is that long: rather lose it than fill the memory
            if len(chunk) < READ_BYTES:
                break
        return [line for line in lines if line]

    def close(self) -> None:
        """Let go of the file."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


@dataclass(slots=True)
class Books:
    """The accounts of one aiperf process. `sent == recorded + lost + in flight + ended` at every moment."""

    context: Context
    in_flight: dict[str, JournalStart] = field(default_factory=dict)
    ended: dict[str, tuple[JournalStart, JournalEnd]] = field(default_factory=dict)
    """Ended by the journal, waiting for aiperf's own line."""
    unconfirmed: set[str] = field(default_factory=set)
    """Recorded without aiperf's line, which may still come."""
    sent: int = 0
    recorded: int = 0
    lost: int = 0
    highest: int = -1
    last_start_ns: int | None = None

    @property
    def unsent(self) -> int:
        """Numbers that aiperf issued and that were never sent."""
        return self.highest + 1 - self.sent

    @property
    def unrecorded(self) -> list[JournalStart]:
        """Requests without a record so far. One that has ended and waits for aiperf's line is among them: in neither
        list, it would be overlooked by whoever asks in that moment."""
        return [*self.in_flight.values(), *(start for start, _ in self.ended.values())]

    def journal(self, item: JournalStart | JournalEnd) -> int | None:
        """Take a journal line in; the instant of a start."""
        if isinstance(item, JournalStart):
            self.in_flight[item.request_id] = item
            self._sent(item.number)
            self.last_start_ns = max(item.at_ns, self.last_start_ns or item.at_ns)
            return item.at_ns
        start = self.in_flight.pop(item.request_id, None)
        if start is not None:
            self.ended[item.request_id] = (start, item)
        return None

    def exported(self, line: ExportLine, now_ns: int) -> Record | None:
        """Take aiperf's line in; the record that it completes."""
        if line.error is not None and line.error.type == HELD:
            self.highest = max(self.highest, line.number)  # issued, never sent
            return None
        if line.request_id in self.unconfirmed:
            self.unconfirmed.discard(line.request_id)
            return None
        pair = self.ended.pop(line.request_id, None)
        if pair is not None:
            return self._count(build_record(self.context, *pair, line))
        if self.in_flight.pop(line.request_id, None) is None:
            self._sent(line.number)
        return self._count(record_without_journal(self.context, line, now_ns))

    def without_export(self, now_ns: int, *, wait_ns: int = EXPORT_WAIT_NS) -> list[Record]:
        """Records of requests that ended `wait_ns` ago and that aiperf has not reported."""
        late = [key for key, (_, end) in self.ended.items() if now_ns - end.at_ns >= wait_ns]
        self.unconfirmed.update(late)
        return [self._count(build_record(self.context, *self.ended.pop(key), None)) for key in late]

    def close(self, last_seen_ns: int, reason: str) -> list[Record]:
        """aiperf is gone: what is left becomes records, the ends that nobody saw are lost."""
        records = self.without_export(last_seen_ns, wait_ns=-(1 << 62))
        for start in self.in_flight.values():
            records.append(self._count(lost_record(self.context, start, last_seen_ns, reason)))
        self.in_flight.clear()
        return records

    def _sent(self, number: int) -> None:
        self.sent += 1
        self.highest = max(self.highest, number)

    def _count(self, record: Record) -> Record:
        if record.outcome is Outcome.LOST:
            self.lost += 1
        else:
            self.recorded += 1
        return record


class SegmentTail:
    """The files of one aiperf process, read together."""

    def __init__(self, context: Context, paths: SegmentPaths) -> None:
        self.books = Books(context)
        self._export = LineFile(paths.export)
        self._journal = LineFile(paths.journal)

    def poll(self, now_ns: int) -> tuple[list[int], list[Record]]:
        """Monotonic instants of new starts, and new records. `now_ns` is monotonic too."""
        # The export is read first: the end of a request is in the journal before aiperf can know of it, so no line of the
        # export read here can lack its journal lines below.
        exported = [line for raw in self._export.read() if (line := parse_export(raw)) is not None]
        starts = [
            at
            for raw in self._journal.read()
            if (item := parse_journal(raw)) is not None and (at := self.books.journal(item)) is not None
        ]
        records = [record for line in exported if (record := self.books.exported(line, now_ns)) is not None]
        return starts, records + self.books.without_export(now_ns)

    def close(self) -> None:
        """Let go of the files."""
        self._export.close()
        self._journal.close()
