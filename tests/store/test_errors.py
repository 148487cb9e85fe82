"""A store that is full, locked, read-only or damaged says so in one line and keeps nothing half-written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from monitor.model import Phase
from monitor.store.errors import StoreCorrupt, StoreError, StoreFull, StoreLocked
from monitor.store.store import Store
from probes.record import Gap
from tests.support.records import SECOND, T0, record, run
from tests.support.tmpfs import tmpfs

EVERYTHING = (T0 - SECOND, T0 + 10**7 * SECOND)


def fill(store: Store) -> tuple[int, StoreError]:
    """Add records until the store refuses; how many were taken, and the refusal."""
    for taken in range(0, 1_000_000, 500):
        try:
            store.add([record(n) for n in range(taken, taken + 500)], [Gap("chat", T0 + taken, None, "x")])
        except StoreError as error:
            return taken, error
    raise AssertionError("the store never filled up")


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    with tmpfs(tmp_path / "tiny", "2m") as folder:
        yield folder


def test_a_full_disk_refuses_whole_batches_and_works_again_when_there_is_room(tiny: Path) -> None:
    ballast = tiny / "ballast"
    ballast.write_bytes(b"x" * 900_000)
    store = Store(f"sqlite:///{tiny / 'store.db'}")
    try:
        seen: list[StoreError] = []
        store.on_error = seen.append
        taken, error = fill(store)
        assert isinstance(error, StoreFull)
        assert "full" in str(error)
        assert "free space" in str(error)
        assert "\n" not in str(error)
        assert seen == [error]
        assert len(store.records(*EVERYTHING)) == taken, "readable, and no half batch"
        assert len(store.gaps(*EVERYTHING)) == taken // 500
        with pytest.raises(StoreFull):
            store.save_run(run(1, notes=("x" * 500_000,)))
        assert store.run(run(1).id) is None
        ballast.unlink()
        store.check()
        store.save_run(run(1))
        assert store.run(run(1).id) == run(1)
    finally:
        store.close()


def test_a_full_database_refuses_whole_batches(path: Path) -> None:
    store = Store(f"sqlite:///{path}")
    limit = event.listens_for(store._database._backend._engine, "checkout")
    limit(lambda raw, *_: raw.execute("PRAGMA max_page_count=150"))
    try:
        taken, error = fill(store)
        assert isinstance(error, StoreFull)
        assert len(store.records(*EVERYTHING)) == taken
        assert len(store.gaps(*EVERYTHING)) == taken // 500
    finally:
        store.close()


def test_a_locked_store_refuses_within_its_bound_and_works_again_afterwards(sqlite_store: Store, path: Path) -> None:
    store = sqlite_store
    store.save_run(run(1))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked, match="locked by another program") as error:
            store.save_run(run(1, phase=Phase.GUARDED))
        assert "\n" not in str(error.value)
        with pytest.raises(StoreLocked):
            store.check()
        found = store.run(run(1).id)
        assert found is not None, "reading goes on"
        assert found.phase is Phase.REQUESTED
        other.execute("ROLLBACK")
    store.save_run(run(1, phase=Phase.GUARDED))
    found = store.run(run(1).id)
    assert found is not None
    assert found.phase is Phase.GUARDED


def test_a_locked_store_cannot_be_opened_either(sqlite_store: Store, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreLocked):
            Store(f"sqlite:///{path}")


def test_a_damaged_file_is_named(path: Path) -> None:
    path.write_bytes(b"this is not a database at all" * 500)
    with pytest.raises(StoreCorrupt, match=r"store\.db is damaged"):
        Store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("sqlite:////nowhere/at/all/store.db", "folder must exist"),
        ("sqlite://", "needs a file"),
        ("nonsense", "store.url"),
        ("cobol://host/db", "cobol"),
        ("postgresql+nodriver://u:secret@127.0.0.1/x", "nodriver"),
        ("postgresql+psycopg2://u:secret@127.0.0.1/x", "psycopg2"),
    ],
)
def test_an_address_that_cannot_work_is_one_line_without_the_password(url: str, says: str) -> None:
    with pytest.raises(StoreError) as error:
        Store(url)
    assert says in str(error.value)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)
