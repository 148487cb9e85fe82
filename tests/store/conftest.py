"""A store of its own for each test, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, text

from monitor.store import address
from monitor.store.store import Store
from tests.support.postgres import Server


@dataclass(frozen=True)
class Place:
    """Where a store is, with a way in beside it."""

    url: str

    @property
    def kind(self) -> str:
        return address.parse(self.url).get_backend_name()

    def ask(self, query: str, **values: Any) -> list[Mapping[str, Any]]:
        """Rows of a query, or none of a change; committed."""
        engine = create_engine(address.parse(self.url))
        try:
            with engine.begin() as connection:
                found = connection.execute(text(query), values)
                return [dict(row) for row in found.mappings()] if found.returns_rows else []
        finally:
            engine.dispose()

    def tables(self) -> list[str]:
        """Names of all tables."""
        engine = create_engine(address.parse(self.url))
        try:
            return inspect(engine).get_table_names()
        finally:
            engine.dispose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of a SQLite store."""
    return tmp_path / "store.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """Where a new store goes."""
    if request.param == "sqlite":
        return Place(f"sqlite:///{path}")
    server: Server = request.getfixturevalue("postgres")
    return Place(server.new())


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    """A new store."""
    made = Store(place.url)
    yield made
    made.close()


@pytest.fixture
def sqlite_store(path: Path) -> Iterator[Store]:
    """A new store in a file."""
    made = Store(f"sqlite:///{path}")
    yield made
    made.close()
