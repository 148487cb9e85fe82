"""Whether a store on a server could be used, found out without changing anything there."""

from __future__ import annotations

from sqlalchemy import Connection, text

from monitor.store import address
from monitor.store.database import HEAD, version
from monitor.store.errors import StoreError, translated
from monitor.store.schema import metadata

_VERBS = ("SELECT", "INSERT", "UPDATE", "DELETE")


def unusable(text_of_url: str) -> str | None:
    """Why not, in one line without secrets; None when it could be. Of SQLite the service's own start says it."""
    try:
        url = address.parse(text_of_url)
        if url.get_backend_name() == "sqlite":
            return None
        where = address.where(url)
        with translated(where):
            from monitor.store.postgres import Postgres  # noqa: PLC0415 - psycopg is 7 MB that few need

            backend = Postgres(url)
            try:
                with backend.read() as connection:
                    trouble = _trouble(connection)
            finally:
                backend.close()
    except StoreError as error:
        return str(error)
    return f"{where} {trouble}" if trouble else None


def _trouble(connection: Connection) -> str | None:
    ask = connection.exec_driver_sql
    if ask("select pg_is_in_recovery() or current_setting('transaction_read_only')::bool").scalar_one():
        return "can only be read; store.url must name the primary"
    if ask("select current_schema()").scalar_one() is None:
        return "has no such schema; make it, or correct search_path in store.url"
    found = version(connection)
    if found is None:
        may = ask("select has_schema_privilege(current_schema(), 'CREATE')").scalar_one()
        return None if may else "lacks rights: this user may make no tables; grant create on its schema"
    if found > HEAD:
        return f"was written by a newer aftershock (schema {found}, known up to {HEAD}); upgrade aftershock"
    return _lacking(connection)


def _lacking(connection: Connection) -> str | None:
    query = text("select has_table_privilege(to_regclass(:table)::oid, :verb)")
    for table in metadata.tables:
        for verb in _VERBS:
            # NULL for a table that the next migration makes
            if connection.execute(query, {"table": table, "verb": verb}).scalar() is False:
                return f"lacks rights: this user may not {verb} in {table}; make it the owner of aftershock's tables"
    return None
