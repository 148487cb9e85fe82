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


_FULL = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
_FULL_PHRASES = ("disk full", "no space left", "disk is full", "file too large")
_LOCKED = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL")
_CORRUPT = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
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
