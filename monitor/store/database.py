"""The database: who may write when, transactions, schema version."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, inspect, text
from sqlalchemy.engine import URL

from monitor.store import address, fence
from monitor.store.backend import BUSY_SECONDS, Backend, Sqlite
from monitor.store.errors import Fenced, StoreError, StoreLocked, translated

HEAD = "0001"
"""Newest migration. Known here so that a start with a current schema need not import Alembic (10 MB)."""

BATCH_SECONDS = 10.0
"""Longest that a server may take for a batch of records, which no fault waits for."""

MIGRATE_SECONDS = 600.0


class Database:
    """One database, for many threads. Raises only StoreError."""

    def __init__(self, url: str) -> None:
        self.url = address.parse(url)
        self.where = address.where(self.url)
        self._writing = threading.Lock()
        self._term: int | None = None
        with translated(self.where):
            self._backend = _backend(self.url)
        try:
            self._migrate()
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Give back all connections, and the hold."""
        self._backend.close()

    @property
    def is_sqlite(self) -> bool:
        return isinstance(self._backend, Sqlite)

    def hold(self, *, shared: bool = False) -> None:
        """Be the one service of this store until `close`, or one of its replicas. Raises StoreError when another is."""
        with translated(self.where):
            self._backend.hold(self.where, shared=shared)

    def take_term(self, holder: str, may_lead: Callable[[], str | None]) -> int:
        """Shut out whoever led before; from now on nothing is written here after somebody else has done the same."""
        with self._transaction(durable=True, seconds=BUSY_SECONDS) as connection:
            # Asked behind the last wait: who stood still before it must not shut out who leads by now.
            if (reason := may_lead()) is not None:
                raise Fenced(f"no term is taken: {reason}")
            term = fence.take(connection, holder)
        self._term = term
        return term

    def size_bytes(self) -> int:
        """Bytes on disk."""
        with translated(self.where):
            return self._backend.size_bytes()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view."""
        with translated(self.where), self._backend.read() as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool) -> Iterator[Connection]:
        """A transaction: all or nothing. `durable` survives a power cut, else a crash of this process only.

        Writers queue in this process first: SQLite's own waiting is unfair, and a run must not starve behind records.
        """
        seconds = BUSY_SECONDS if durable else BATCH_SECONDS
        with self._transaction(durable=durable, seconds=seconds) as connection:
            yield connection

    @contextmanager
    def _transaction(self, *, durable: bool, seconds: float) -> Iterator[Connection]:
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise StoreLocked(f"{self.where} is busy: another write of this service takes too long")
        try:
            with translated(self.where), self._backend.write(durable=durable, seconds=seconds) as connection:
                # There is one writer at a time, so what is true now stays true until the commit.
                if self._term is not None:
                    fence.check(connection, self._term)
                yield connection
        finally:
            self._writing.release()

    def _migrate(self) -> None:
        # Of a SQLite store one knows only by writing whether it can be written.
        with self.write(durable=True) if self.is_sqlite else self.read() as connection:
            if version(connection) == HEAD:
                return
        from monitor.store.migrate import upgrade  # noqa: PLC0415 - Alembic is heavy and rarely needed

        # Whoever else begins at the same time waits, and then finds nothing to do.
        with self._transaction(durable=True, seconds=MIGRATE_SECONDS) as connection:
            upgrade(connection, self.where)


def version(connection: Connection) -> str | None:
    """The newest migration that a store has seen; None for a new one."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("select version_num from alembic_version")).scalar()
    return str(found) if found is not None else None


def _backend(url: URL) -> Backend:
    if url.get_backend_name() == "sqlite":
        return Sqlite(url)
    from monitor.store.postgres import Postgres  # noqa: PLC0415 - psycopg is 7 MB that a file does not need

    return Postgres(url)
