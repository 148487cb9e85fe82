"""The store: one class for threads to share. Asynchronous callers use `asyncio.to_thread`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from monitor.measure.columns import Columns
from monitor.model import Incident, Run
from monitor.store import history, records, retention, runs
from monitor.store.database import Database
from monitor.store.errors import Fenced, StoreError
from monitor.store.history import Count, Minute
from probes.record import Gap, Record, SegmentClosed


class Store:
    """Runs, records, flags. Every method raises StoreError, one line, and leaves nothing half-written.

    The schema is brought up to date when the store is opened.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self.on_error: Callable[[StoreError], None] = lambda _error: None
        """Told of every error before it is raised; called in the thread that met it."""
        self.on_fenced: Callable[[Fenced], None] = lambda _error: None
        """Told when another replica leads; as `on_error`."""

    def close(self) -> None:
        """Give back all connections. Nothing is pending: every write was committed when it returned."""
        self._database.close()

    def hold(self, *, shared: bool = False) -> None:
        """Be the one service of this store until `close`, or with `shared` one of its replicas.

        Raises StoreError when another service is there. Two on one store could inject at once, and the second would
        revert the first one's fault as left behind.
        """
        with self._watched():
            self._database.hold(shared=shared)

    def take_term(self, holder: str, may_lead: Callable[[], str | None] = lambda: None) -> int:
        """Begin to lead: every write of an earlier leader, and once there is a newer one every write of ours, is `Fenced`.

        `may_lead` is asked at the last moment; what it answers is why not, and raised as `Fenced`.
        """
        with self._watched():
            return self._database.take_term(holder, may_lead)

    # --- runs -------------------------------------------------------------------------------

    def save_run(self, run: Run) -> None:
        """Insert or replace; on disk when it returns."""
        with self._write(durable=True) as connection:
            runs.save_run(connection, run)

    def run(self, run_id_or_prefix: str) -> Run | None:
        """By id or unambiguous prefix; raises LookupError with one line for an ambiguous one."""
        with self._read() as connection:
            return runs.find_run(connection, run_id_or_prefix)

    def runs(
        self,
        *,
        limit: int = 50,
        offset: int = 0,
        fault: str | None = None,
        verdict: str | None = None,
        since_ns: int | None = None,
    ) -> tuple[list[Run], int]:
        """Newest first, and how many fit in all."""
        with self._read() as connection:
            return runs.list_runs(
                connection, limit=limit, offset=offset, fault=fault, verdict=verdict, since_ns=since_ns
            )

    def open_receipts(self) -> list[Run]:
        """Runs whose fault may still act, oldest first."""
        with self._read() as connection:
            return runs.open_receipts(connection)

    def unfinished(self) -> list[Run]:
        """Runs that have not reached their end, oldest first."""
        with self._read() as connection:
            return runs.unfinished(connection)

    # --- what the probes yield --------------------------------------------------------------

    def add(self, batch: Sequence[Record], gaps: Sequence[Gap] = (), segments: Sequence[SegmentClosed] = ()) -> None:
        """All or nothing; a batch may be repeated, also in part. Survives a crash of this process, not of the machine."""
        with self._write(durable=False) as connection:
            records.add_records(connection, batch)
            records.add_gaps(connection, gaps)
            records.add_segments(connection, segments)

    def records(
        self, start_ns: int, end_ns: int, *, probe: str | None = None, limit: int | None = None, bad_only: bool = False
    ) -> list[Record]:
        """Requests whose life touches [start_ns, end_ns), by start."""
        with self._read() as connection:
            return records.select_records(connection, start_ns, end_ns, probe=probe, limit=limit, bad_only=bad_only)

    def columns(self, start_ns: int, end_ns: int) -> Columns:
        """The same requests as arrays."""
        with self._read() as connection:
            return records.select_columns(connection, start_ns, end_ns)

    def gaps(self, start_ns: int, end_ns: int) -> list[Gap]:
        """Gaps that touch [start_ns, end_ns), open ones included."""
        with self._read() as connection:
            return records.select_gaps(connection, start_ns, end_ns)

    def open_gaps(self) -> list[Gap]:
        """Gaps that nobody has closed."""
        with self._read() as connection:
            return records.open_gaps(connection)

    def last_starts(self, probes: Sequence[str]) -> dict[str, int]:
        """When the newest request of each probe was started; a probe without one is left out."""
        with self._read() as connection:
            return records.last_starts(connection, probes)

    def segments(self, since_ns: int) -> list[SegmentClosed]:
        """Segments that ended at or after the instant."""
        with self._read() as connection:
            return records.select_segments(connection, since_ns)

    # --- what is left of older days ---------------------------------------------------------

    def minutes(self, start_ns: int, end_ns: int) -> list[Minute]:
        """Folded good requests, one row a minute and probe."""
        with self._read() as connection:
            return history.select_minutes(connection, start_ns, end_ns)

    def counts(self, start_ns: int, end_ns: int, step_ns: int) -> list[Count]:
        """How many requests started in each cell of [start_ns, end_ns); folded ones are not among them."""
        with self._read() as connection:
            return history.select_counts(connection, start_ns, end_ns, step_ns)

    def folded_until(self) -> int | None:
        """Good requests that started before this instant are folded."""
        with self._read() as connection:
            return history.folded_until(connection)

    def oldest_ns(self) -> int | None:
        """The first instant that anything is known of."""
        with self._read() as connection:
            return history.oldest_ns(connection)

    # --- flags and incidents ----------------------------------------------------------------

    def flag(self, name: str) -> dict[str, Any] | None:
        """The value of a flag; None when it is not set."""
        with self._read() as connection:
            return runs.get_flag(connection, name)

    def set_flag(self, name: str, value: dict[str, Any] | None) -> None:
        """Set, or with None remove; on disk when it returns."""
        with self._write(durable=True) as connection:
            runs.set_flag(connection, name, value)

    def save_incident(self, incident: Incident) -> Incident:
        """Insert or replace; the result has its id."""
        with self._write(durable=True) as connection:
            return runs.save_incident(connection, incident)

    def incidents(self, limit: int = 50) -> list[Incident]:
        """Newest first."""
        with self._read() as connection:
            return runs.list_incidents(connection, limit)

    def incident_totals(self) -> tuple[int, int]:
        """How many there are, and the sum of the lengths (ns) of those that ended."""
        with self._read() as connection:
            return runs.incident_totals(connection)

    def open_incident(self) -> Incident | None:
        """The newest incident that has no end."""
        with self._read() as connection:
            return next(iter(runs.list_incidents(connection, 1, open_only=True)), None)

    # --- housekeeping -----------------------------------------------------------------------

    def fold(self, before_ns: int) -> int:
        """Turn good requests that started before the instant into one row a minute and probe; returns how many."""
        with self._watched():
            return retention.fold(self._database, before_ns)

    def forget(self, before_ns: int) -> None:
        """Delete what is older; never a run that is unfinished or not reverted."""
        with self._watched():
            retention.forget(self._database, before_ns)

    def size_bytes(self) -> int:
        """Bytes on disk, of SQLite with its log."""
        with self._watched():
            return self._database.size_bytes()

    def check(self) -> None:
        """Write something; raises StoreError when that cannot be done."""
        with self._write(durable=True) as connection:
            runs.set_flag(connection, "check", {"writable": True})

    # --- inside -----------------------------------------------------------------------------

    @contextmanager
    def _watched(self) -> Iterator[None]:
        try:
            yield
        except StoreError as error:
            if isinstance(error, Fenced):
                self.on_fenced(error)
            self.on_error(error)
            raise

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with self._watched(), self._database.read() as connection:
            yield connection

    @contextmanager
    def _write(self, *, durable: bool) -> Iterator[Connection]:
        with self._watched(), self._database.write(durable=durable) as connection:
            yield connection
