"""PostgreSQL's side of the connection: bounds on every wait, one writer at a time, one service a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from monitor.store.backend import BUSY_SECONDS, CONNECTIONS, MOST_CONNECTIONS
from monitor.store.errors import StoreError
from monitor.store.schema import metadata

T = TypeVar("T")

KEY = 0x6166_7465
"""First half of our advisory locks' names ("afte"); the second half names the lock in its schema."""

_OWN = "hashtext('aftershock ' || :what || ' ' || coalesce(current_schema(), ''))"
_LOCK_SHARE, _STATEMENT_SHARE = 0.6, 0.75
"""Of our own patience: the server gives up first, for its words say more than a silence, and those of a lock most."""

READ_SECONDS = 10.0
"""Longest that the server may take for what a report reads."""

_CONNECT = {
    "connect_timeout": "2",
    "application_name": "aftershock",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
_SESSION = {
    "TimeZone": "UTC",
    "client_min_messages": "error",
    "statement_timeout": "8s",
    "lock_timeout": "6s",
    # A service that is frozen in the middle of a transaction must not keep the others waiting.
    "idle_in_transaction_session_timeout": "10s",
    # A service whose machine is gone loses its locks after 25 s, not after hours.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}

_AGAIN_SECONDS = 0.1
_END_SECONDS = 0.5

_here = threading.local()


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """Everything that this thread asks a server meanwhile has an answer or an error by then."""
    before: float | None = getattr(_here, "deadline", None)
    mine = time.monotonic() + seconds
    _here.deadline = mine if before is None else min(before, mine)
    try:
        yield
    finally:
        _here.deadline = before


def _left() -> float | None:
    deadline: float | None = getattr(_here, "deadline", None)
    return None if deadline is None else deadline - time.monotonic()


class _Bounded(psycopg.Connection[Any]):
    """Gives up where libpq would wait for ever: on a server that is frozen, or behind a network that is gone."""

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        left = _left()
        bounds = [max(0.0, bound) for bound in (left, timeout) if bound is not None]
        try:
            return super().wait(gen, interval, min(bounds, default=None))
        except psycopg.OperationalError:
            if left is None or (_left() or 0) > 0:
                raise
            # What the server still says would be taken for the answer to the next question.
            self.close()
            raise psycopg.OperationalError("no answer in time") from None


class Postgres:
    """A server, reached through a few connections."""

    def __init__(self, url: URL) -> None:
        self._engine = create_engine(
            url.update_query_dict(_CONNECT | dict(url.query)),
            pool_size=CONNECTIONS,
            max_overflow=MOST_CONNECTIONS - CONNECTIONS,
            pool_timeout=BUSY_SECONDS,
            pool_pre_ping=True,
            # Whatever the server's default: what was committed before the writer's lock was ours must be seen behind it.
            isolation_level="READ COMMITTED",
        )
        event.listen(self._engine, "do_connect", _connect)
        self._reading = self._engine.execution_options(isolation_level="REPEATABLE READ")
        self._hold: _Hold | None = None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with patience(READ_SECONDS), self._connected(self._reading) as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool, seconds: float) -> Iterator[Connection]:
        """Always durable: an asynchronous commit is lost with a server that is killed, and records must survive that."""
        with patience(seconds):
            if self._hold is not None:
                with patience(BUSY_SECONDS):
                    self._hold.keep()
            with self._connected(self._engine) as connection:
                _become_the_writer(connection, seconds)
                yield connection

    def hold(self, where: str, *, shared: bool) -> None:
        hold = _Hold(self._engine, where, "pg_try_advisory_lock_shared" if shared else "pg_try_advisory_lock")
        with patience(BUSY_SECONDS):
            hold.begin()
        self._hold = hold

    def size_bytes(self) -> int:
        """Of our tables and their indexes; the server's log is not ours alone."""
        query = text("select coalesce(sum(pg_total_relation_size(to_regclass(one))), 0) from unnest(:tables) one")
        with self.read() as connection:
            return int(connection.execute(query, {"tables": list(metadata.tables)}).scalar_one())

    def close(self) -> None:
        if self._hold is not None:
            self._hold.end()
        self._engine.dispose()

    @contextmanager
    def _connected(self, made: Engine) -> Iterator[Connection]:
        """A transaction. A server that is away is found out soon, however much time the questions may take."""
        with patience(BUSY_SECONDS):
            connection = made.connect()
        with connection, connection.begin():
            yield connection


def _become_the_writer(connection: Connection, seconds: float) -> None:
    """One transaction at a time, as in SQLite; the server gives up on each statement well within `seconds`."""
    settings = {
        "synchronous_commit": "on",
        "lock_timeout": _milliseconds(seconds * _LOCK_SHARE),
        "statement_timeout": _milliseconds(seconds * _STATEMENT_SHARE),
    }
    calls = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in settings.items())
    connection.exec_driver_sql(f"select {calls}")
    connection.execute(text(f"select pg_advisory_xact_lock({KEY}, {_OWN})"), {"what": "writer"})


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _connect(_dialect: Dialect, _record: object, arguments: list[Any], options: dict[str, Any]) -> _Bounded:
    left = _left()
    if left is not None and left <= 0:
        raise psycopg.OperationalError("no answer in time")
    connection = _Bounded.connect(*arguments, **options)
    connection.autocommit = True
    settings = ", ".join(f"set_config('{name}', '{value}', false)" for name, value in _SESSION.items())
    connection.execute(f"select {settings}".encode())
    connection.autocommit = False
    return connection


class _Hold:
    """Says that this process alone is the service of a store, for as long as its connection lives.

    The lock goes with a restart of the server; `keep`, called before every write, takes it again or
    finds that another service was quicker.
    """

    def __init__(self, made: Engine, where: str, take: str) -> None:
        self._engine = made.execution_options(isolation_level="AUTOCOMMIT")
        self._where = where
        self._take = take
        self._connection: Connection | None = None

    def begin(self) -> None:
        """Hold it. An earlier service that was killed lets go a moment after its death. Raises StoreError."""
        while True:
            try:
                return self.keep()
            except StoreError:
                if (_left() or 0) < 2 * _AGAIN_SECONDS:
                    raise
            time.sleep(_AGAIN_SECONDS)

    def keep(self) -> None:
        """Hold it still, or again. Raises StoreError when another service does, and SQLAlchemy's errors."""
        if self._connection is not None:
            try:
                self._connection.execute(text("select 1"))
            except (OperationalError, InterfaceError):
                self._drop()
            else:
                return
        connection = self._connection = self._engine.connect()
        query = text(f"select {self._take}({KEY}, {_OWN})")
        try:
            taken = connection.execute(query, {"what": "service"}).scalar_one()
        except BaseException:
            self._drop()
            raise
        if not taken:
            self._drop()
            raise StoreError(
                f"{self._where} is in use by another aftershock service; stop it, or choose another database"
            )

    def end(self) -> None:
        """Let go; when it returns, another may begin."""
        if self._connection is not None:
            with suppress(SQLAlchemyError), patience(_END_SECONDS):
                self._connection.execute(text("select pg_advisory_unlock_all()"))
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.invalidate()
            connection.close()
