"""What a store raises: one line that says what to do, whatever the database below called it."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc


class StoreError(Exception):
    """The store refused. The text is one line for a person."""


class StoreFull(StoreError):
    """No room left to write."""


class StoreLocked(StoreError):
    """Somebody else holds the store for too long."""


class StoreCorrupt(StoreError):
    """The store's content cannot be understood."""


class Fenced(StoreError):
    """Another replica leads since, and what this one knows may be stale."""


_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_FULL_PHRASES = ("disk full", "no space left", "disk is full", "file too large")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_SERVER: tuple[tuple[type[StoreError], tuple[str, ...], str], ...] = (
    (StoreFull, ("53100",), "is full; free space there, or lower store.keep_records_hours"),
    (StoreLocked, ("55P03",), "is locked by another program; end that program"),
    (StoreLocked, ("57014", "no answer in time"), "takes too long to answer"),
    (
        StoreError,
        ("28P01", "password authentication failed", "no password supplied"),
        "refuses the user or the password",
    ),
    (StoreError, ("28000", "no pg_hba.conf entry", 'role "'), "refuses this user from here; see pg_hba.conf there"),
    (StoreError, ("3D000", 'database "'), "has no such database; make it with `createdb`"),
    (StoreError, ("3F000",), "has no such schema; make it, or correct search_path in store.url"),
    (StoreError, ("42501", "permission denied"), "lacks rights; grant this user all on the database and its schema"),
    (StoreError, ("25006",), "can only be read; store.url must name the primary"),
    (StoreError, ("53300", "too many clients", "remaining connection slots"), "has no connection left for us"),
    (StoreError, ("57P03", "starting up", "shutting down", "recovery mode"), "is starting or stopping"),
    (StoreError, ("08", "57P0", "connection failed", "connection timeout", "resolve"), "cannot be reached"),
    (
        StoreError,
        ("server closed the connection", "consuming input failed", "is closed", "is lost"),
        "cannot be reached",
    ),
)
"""What a PostgreSQL server or psycopg says: the beginning of a SQLSTATE or a part of the text, in order."""

_REFUSED = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")


def translate(error: Exception, where: str) -> StoreError:
    """The StoreError for what SQLAlchemy or sqlite3 raised; `where` names the store without secrets."""
    cause = getattr(error, "orig", None) or error
    name: str = getattr(cause, "sqlite_errorname", "") or ""
    text = " ".join(str(cause).split())
    if isinstance(error, exc.TimeoutError):
        return StoreLocked(f"{where}: all connections are in use; something holds the database")
    if name.startswith(_FULL) or any(phrase in text.lower() for phrase in _FULL_PHRASES):
        return StoreFull(f"{where} is full; free space there, or lower store.keep_records_hours ({text})")
    if name.startswith(_LOCKED):
        return StoreLocked(f"{where} is locked by another program; end that program ({text})")
    if name.startswith(_CORRUPT):
        return StoreCorrupt(f"{where} is damaged; move the file away and start with a new one ({text})")
    if name.startswith(_REFUSED):
        return StoreError(f"{where} cannot be opened or written; its folder must exist and be writable ({text})")
    return _of_server(cause, text, where)


def _of_server(cause: object, text: str, where: str) -> StoreError:
    """psycopg knows no SQLSTATE of a connection that was refused, so its words must do."""
    state: str = getattr(cause, "sqlstate", None) or ""
    for kind, marks, meaning in _SERVER:
        if any(state.startswith(mark) if mark[0].isdigit() else not state and mark in text for mark in marks):
            return kind(f"{where} {meaning} ({text})")
    return StoreError(f"{where}: {text}")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turns everything that a database may raise into StoreError."""
    try:
        yield
    except (exc.SQLAlchemyError, sqlite3.Error) as error:
        raise translate(error, where) from error
    except ModuleNotFoundError as error:
        raise StoreError(f"{where}: the driver {error.name!r} is not installed") from error
    except OSError as error:
        # rollback and close of a full disk may surface as a plain OSError
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        raise (StoreFull if full else StoreError)(f"{where}: {error.strerror or error}") from error
