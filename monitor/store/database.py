"""The connection to the database: pragmas, transactions, schema version."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, exc, inspect, text
from sqlalchemy.engine import URL, make_url

from monitor.store.errors import StoreError, StoreLocked, translated

HEAD = "0001"
"""Newest migration. Known here so that a start with a current schema need not import Alembic (10 MB)."""

BUSY_SECONDS = 2.0
"""Longest wait for a lock: a run's transition waits for it, and `stop` must revert within 5 s."""


class Database:
    """One database, for many threads. Raises only StoreError."""

    def __init__(self, url: str) -> None:
        with translated("store.url"):
            parsed = make_url(url)
        self.url = parsed
        self.where = _where(parsed)
        self._writing = threading.Lock()
        with translated(self.where):
            self._engine = _engine(parsed)
        try:
            self._migrate()
        except StoreError:
            self.close()
            raise

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        """The file of a SQLite store."""
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view."""
        with translated(self.where), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool) -> Iterator[Connection]:
        """A transaction: all or nothing. `durable` survives a power cut, else a crash of this process only.

        Writers queue in this process first: SQLite's own waiting is unfair, and a run must not starve behind records.
        """
        if not self._writing.acquire(timeout=BUSY_SECONDS):
            raise StoreLocked(f"{self.where} is busy: another write of this service takes too long")
        try:
            options = {"aftershock_sync": "FULL" if durable else "NORMAL"}
            with translated(self.where), self._engine.execution_options(**options).begin() as connection:
                yield connection
        finally:
            self._writing.release()

    def _migrate(self) -> None:
        with self.write(durable=True) as connection:
            version = _version(connection)
            if version == HEAD:
                return
            from monitor.store.migrate import upgrade  # noqa: PLC0415 - Alembic is heavy and rarely needed

            upgrade(connection, self.where)


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("select version_num from alembic_version")).scalar()
    return str(found) if found is not None else None


def _where(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return f"the store {url.database or 'in memory'}"
    return f"the store {url.render_as_string(hide_password=True)}"


def _engine(url: URL) -> Engine:
    try:
        if url.get_backend_name() != "sqlite":
            return create_engine(url, pool_size=4, max_overflow=12, pool_timeout=BUSY_SECONDS, pool_pre_ping=True)
        if not url.database or url.database == ":memory:":
            raise StoreError("store.url: a SQLite store needs a file, such as sqlite:////var/lib/aftershock/store.db")
        engine = create_engine(
            url,
            pool_size=4,
            max_overflow=12,
            pool_timeout=BUSY_SECONDS,
            connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False},
        )
    except exc.NoSuchModuleError as error:
        raise StoreError(f"store.url: unknown kind of database {url.drivername!r}; use sqlite:///") from error
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


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
