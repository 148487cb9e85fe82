"""Where a store is: what `store.url` may say, and how it is named without secrets."""

from __future__ import annotations

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from monitor.store.errors import StoreError

EXAMPLES = "postgresql://user:password@host:5432/database or sqlite:////var/lib/aftershock/aftershock.db"
_DRIVERLESS = ("postgresql", "postgres")


def parse(text: str) -> URL:
    """The URL, with psycopg for a PostgreSQL that names no driver. Raises StoreError; the text is never repeated."""
    try:
        url = make_url(text)
    except ArgumentError:
        raise StoreError(f"store.url: is not a SQLAlchemy URL; such as {EXAMPLES}") from None
    except ValueError:
        # What was read as the port may be a part of the password.
        raise StoreError(
            "store.url: the port is not a number; in a password, / @ : % and # are written as %2F %40 %3A %25 %23"
        ) from None
    if url.drivername in _DRIVERLESS:
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"postgresql", "sqlite"}:
        raise StoreError(f"store.url: unknown kind of database {url.drivername!r}; use {EXAMPLES}")
    if url.get_backend_name() == "postgresql" and url.get_driver_name() != "psycopg":
        raise StoreError(
            f"store.url: the driver {url.get_driver_name()!r} is not supported; leave it out: postgresql://"
        )
    return url


def where(url: URL) -> str:
    """The store in words: no password, and no query, which may hold one."""
    if url.get_backend_name() == "sqlite":
        return f"the store {url.database or 'in memory'}"
    shown = URL.create("postgresql", url.username, None, url.host, url.port, url.database)
    return f"the store {shown.render_as_string()}"
