"""What a kind of database has to give, and how SQLite gives it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, create_engine, event
from sqlalchemy.engine import URL

from monitor.store.errors import StoreError

BUSY_SECONDS = 2.0
"""Longest wait for a lock: a run's transition waits for it, and `stop` must revert within 5 s."""

CONNECTIONS = 4
MOST_CONNECTIONS = 16


class Backend(Protocol):
    """Connections of one kind of database. What its driver raises goes through `errors.translated`."""

    def read(self) -> AbstractContextManager[Connection]:
        """A consistent view."""
        ...

    def write(self, *, durable: bool, seconds: float) -> AbstractContextManager[Connection]:
        """A transaction of the one writer; a server may take `seconds` for all of it."""
        ...

    def hold(self, where: str, *, shared: bool) -> None:
        """Be the one service of the store until `close`, or one of its replicas. Raises StoreError when another is."""
        ...

    def size_bytes(self) -> int:
        """Bytes on disk."""
        ...

    def close(self) -> None:
        """Give back all connections."""
        ...


class Sqlite:
    """A file."""

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise StoreError("store.url: a SQLite store needs a file, such as sqlite:////var/lib/aftershock/store.db")
        self.path = Path(url.database)
        self._engine = create_engine(
            url,
            pool_size=CONNECTIONS,
            max_overflow=MOST_CONNECTIONS - CONNECTIONS,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
        event.listen(self._engine, "connect", _prepare)
        event.listen(self._engine, "begin", _begin)

    def read(self) -> AbstractContextManager[Connection]:
        return self._engine.begin()

    def write(self, *, durable: bool, seconds: float) -> AbstractContextManager[Connection]:
        return self._engine.execution_options(aftershock_sync="FULL" if durable else "NORMAL").begin()

    def hold(self, where: str, *, shared: bool) -> None:
        """Nothing to do: the lock of data_dir says who the service is."""

    def size_bytes(self) -> int:
        """The write-ahead log included."""
        names = (self.path.name + suffix for suffix in ("", "-wal", "-shm"))
        files = [self.path.with_name(name) for name in names]
        return sum(f.stat().st_size for f in files if f.exists())

    def close(self) -> None:
        self._engine.dispose()


def _prepare(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # takes hold in a new file only, and before WAL
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()
    if not mode or str(mode[0]).lower() != "wal":
        raise StoreError("the store's file system does not support SQLite's WAL mode; choose a local disk for data_dir")
    connection.execute("PRAGMA journal_size_limit=67108864")


def _begin(connection: Connection) -> None:
    sync = connection.get_execution_options().get("aftershock_sync")
    if sync is None:
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous={sync}")
    # a deferred transaction that reads first cannot wait for a lock when it wants to write
    connection.exec_driver_sql("BEGIN IMMEDIATE")
