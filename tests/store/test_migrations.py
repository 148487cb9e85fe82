"""Migrations give the schema that the code speaks, in SQLite and in PostgreSQL's words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from monitor.store import address
from monitor.store.database import HEAD
from monitor.store.errors import StoreError
from monitor.store.migrate import newest
from monitor.store.retention import _minutes_query
from monitor.store.schema import metadata, records
from monitor.store.store import Store
from tests.store.conftest import Place
from tests.support.records import run


def test_the_migrations_give_the_schema_of_the_code(store: Store, place: Place) -> None:
    engine = create_engine(address.parse(place.url))
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_tables_are_made_as_the_code_says(sqlite_store: Store, path: Path) -> None:
    """Alembic does not compare WITHOUT ROWID, which is what clusters records by time."""
    with closing(sqlite3.connect(path)) as db:
        made = dict(db.execute("select name, sql from sqlite_master where type = 'table'"))
    assert {n for n, sql in made.items() if "WITHOUT ROWID" in sql} == {"records", "minutes"}


def test_the_newest_migration_is_the_one_the_code_knows() -> None:
    assert newest() == HEAD


def test_opening_a_current_store_does_not_load_alembic(
    store: Store, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "monitor.store.migrate", None)
    Store(place.url).close()


def test_a_store_of_a_newer_version_is_left_alone(store: Store, place: Place) -> None:
    store.save_run(run(1))
    place.ask("update alembic_version set version_num = '9999'")
    with pytest.raises(StoreError, match="newer aftershock"):
        Store(place.url)
    assert place.ask("select count(*) as n from runs") == [{"n": 1}]


def test_a_migration_that_is_cut_short_leaves_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from monitor.store import migrate  # noqa: PLC0415

    def cut(connection: object, where: str) -> None:
        original(connection, where)  # type: ignore[arg-type]
        raise StoreError("power cut")

    original = migrate.upgrade
    monkeypatch.setattr(migrate, "upgrade", cut)
    with pytest.raises(StoreError, match="power cut"):
        Store(place.url)
    assert place.tables() == []
    monkeypatch.undo()
    Store(place.url).close()


def test_the_same_tables_and_queries_compile_for_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    for table in metadata.sorted_tables:
        assert "WITHOUT ROWID" not in str(CreateTable(table).compile(dialect=dialect))
    assert "LIMIT" in str(select(records).limit(1).compile(dialect=dialect))
    assert "GROUP BY" in str(_minutes_query(records.c.outcome == 0).compile(dialect=dialect))
