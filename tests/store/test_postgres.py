"""What only a server can do to a store: be away, be frozen, be full, refuse the user, be shared."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from monitor.model import Phase
from monitor.store.errors import StoreError, StoreFull, StoreLocked
from monitor.store.store import Store
from tests.support.monitor import free_port, wait_for
from tests.support.postgres import PASSWORD, Server, server
from tests.support.records import SECOND, T0, record, run
from tests.support.tmpfs import tmpfs

EVERYTHING = (T0 - SECOND, T0 + 10**7 * SECOND)


def one_line(error: pytest.ExceptionInfo[StoreError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert PASSWORD not in text
    assert "wrong-secret" not in text
    return text


def limited(postgres: Server, name: str, *rights: str) -> str:
    """The URL of a new database for a new user with some rights on it."""
    url = postgres.new()
    postgres.ask(f"create user {name} password '{PASSWORD}'")
    for right in rights:
        postgres.ask(f"grant {right} to {name}", url)
    return url.replace("tester", name, 1)


# --- words ----------------------------------------------------------------------------------------


def test_no_driver_means_psycopg_and_the_other_spelling_is_known_too(postgres: Server) -> None:
    url = postgres.new()
    for spelling in (url, url.replace("postgresql://", "postgres://"), url.replace("://", "+psycopg://")):
        with closing(Store(spelling)) as store:
            store.check()


def test_a_wrong_password(postgres: Server) -> None:
    with pytest.raises(StoreError) as error:
        Store(postgres.url("postgres", password="wrong-secret"))  # noqa: S106 - it is wrong
    assert one_line(error).startswith(f"the store postgresql://tester@127.0.0.1:{postgres.port}/postgres refuses the")


def test_an_unknown_user(postgres: Server) -> None:
    with pytest.raises(StoreError) as error:
        Store(postgres.url("postgres", user="stranger", password="wrong-secret"))  # noqa: S106 - it is wrong
    assert "refuses the user or the password" in one_line(error)


def test_a_database_that_is_not_there(postgres: Server) -> None:
    with pytest.raises(StoreError) as error:
        Store(postgres.url("nowhere"))
    assert "has no such database; make it with `createdb`" in one_line(error)


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(StoreError) as error:
        Store(f"postgresql://u:{PASSWORD}@127.0.0.1:{free_port()}/x")
    assert "cannot be reached" in one_line(error)
    assert "refused" in one_line(error)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(StoreError) as error:
        Store(f"postgresql://u:{PASSWORD}@nowhere.invalid/x")
    assert "cannot be reached" in one_line(error)


def test_rights_that_are_missing(postgres: Server) -> None:
    with pytest.raises(StoreError) as error:
        Store(limited(postgres, "poor"))
    assert "lacks rights" in one_line(error)
    with closing(Store(limited(postgres, "rich", "create, usage on schema public"))) as store:
        store.check()


def test_a_server_that_only_reads(postgres: Server) -> None:
    url = postgres.new()
    Store(url).close()
    postgres.ask(f"alter database {url.rpartition('/')[2]} set default_transaction_read_only = on")
    with closing(Store(url)) as store, pytest.raises(StoreError) as error:
        store.check()
    assert "must name the primary" in one_line(error)


def test_a_port_that_is_a_part_of_the_password_is_not_repeated() -> None:
    with pytest.raises(StoreError) as error:
        Store("postgresql://u:p@h:wrong-secret/x")
    assert "%2F" in one_line(error)


def test_a_password_in_the_query_is_not_shown(postgres: Server) -> None:
    with pytest.raises(StoreError) as error:
        Store(f"postgresql://tester@127.0.0.1:{postgres.port}/postgres?password=wrong-secret")
    assert "refuses the user or the password" in one_line(error)


# --- sharing --------------------------------------------------------------------------------------


def test_two_starts_at_once_make_one_schema(postgres: Server) -> None:
    for _ in range(3):
        url = postgres.new()
        with ThreadPoolExecutor() as pool:
            stores = list(pool.map(Store, [url] * 3))
        for store in stores:
            store.check()
            store.close()


def test_one_service_a_store(postgres: Server) -> None:
    url = postgres.new()
    first, second = Store(url), Store(url)
    first.hold()
    with pytest.raises(StoreError) as error:
        second.hold()
    assert "is in use by another aftershock service" in one_line(error)
    assert second.runs() == ([], 0), "reports are read all the same"
    with closing(Store(postgres.new())) as elsewhere:
        elsewhere.hold()
    first.close()
    second.hold()
    second.save_run(run(1))
    second.close()


def test_schemas_of_a_database_are_stores_of_their_own(postgres: Server) -> None:
    url = postgres.new()
    stores = []
    for name in ("one", "two"):
        postgres.ask(f"create schema {name}", url)
        stores.append(Store(f"{url}?options=-csearch_path%3D{name}"))
        stores[-1].hold()
    stores[0].save_run(run(1))
    assert [store.runs()[1] for store in stores] == [1, 0]
    for store in stores:
        store.close()


def test_the_hold_is_taken_again_after_a_restart(own_postgres: Server) -> None:
    url = own_postgres.new()
    first, second = Store(url), Store(url)
    first.hold()
    own_postgres.kill()
    own_postgres.start()
    first.save_run(run(1))
    with pytest.raises(StoreError, match="another aftershock service"):
        second.hold()
    own_postgres.kill()
    own_postgres.start()
    second.hold()
    with pytest.raises(StoreError, match="another aftershock service"):
        first.save_run(run(2))
    second.save_run(run(3))
    assert [r.id for r in second.runs()[0]] == [run(3).id, run(1).id]
    second.close()
    first.save_run(run(2))
    first.close()


def test_a_reader_sees_one_instant(postgres: Server) -> None:
    """A new probe between two questions would be a code without a name."""
    with closing(Store(postgres.new())) as store, store._database.read() as connection:
        assert connection.exec_driver_sql("select count(*) from probes").scalar() == 0
        store.add([record(1)])
        assert connection.exec_driver_sql("select count(*) from records").scalar() == 0


# --- trouble --------------------------------------------------------------------------------------


def test_a_locked_store_refuses_within_its_bound_and_works_again_afterwards(postgres: Server) -> None:
    url = postgres.new()
    with closing(Store(url)) as store, psycopg.connect(url) as other:
        store.save_run(run(1))
        other.execute("lock table runs in share mode")
        with pytest.raises(StoreLocked) as error:
            store.save_run(run(1, phase=Phase.GUARDED))
        assert "is locked by another program" in one_line(error)
        found = store.run(run(1).id)
        assert found is not None, "reading goes on"
        assert found.phase is Phase.REQUESTED
        other.rollback()
        store.save_run(run(1, phase=Phase.GUARDED))


def test_a_server_that_is_frozen_is_given_up_and_works_again_afterwards(own_postgres: Server) -> None:
    with closing(Store(own_postgres.new())) as store:
        store.hold()
        store.save_run(run(1))
        own_postgres.freeze()
        seen: list[StoreError] = []

        def work() -> None:
            try:
                store.save_run(run(2))
            except StoreError as error:
                seen.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(30)
        own_postgres.thaw()
        assert [type(error) for error in seen] == [StoreLocked], "it must not wait for ever"
        assert "takes too long to answer" in str(seen[0])
        wait_for("the store to work again", lambda: saved(store, 2))


def saved(store: Store, number: int) -> bool:
    try:
        store.save_run(run(number))
    except StoreError:
        return False
    return store.run(run(number).id) == run(number)


def test_a_server_that_is_killed_keeps_what_was_taken_and_is_used_again_when_it_is_back(own_postgres: Server) -> None:
    with closing(Store(own_postgres.new())) as store:
        store.hold()
        for n in range(20):
            store.add([record(n)])
        store.save_run(run(1))
        own_postgres.kill()
        for doing in (store.check, store.runs, lambda: store.records(*EVERYTHING), lambda: store.save_run(run(2))):
            with pytest.raises(StoreError) as error:
                doing()
            assert "cannot be reached" in one_line(error)
        own_postgres.start()
        assert len(store.records(*EVERYTHING)) == 20
        assert store.run(run(1).id) == run(1)
        store.save_run(run(2))
        store.add([record(n) for n in range(30)])
        assert len(store.records(*EVERYTHING)) == 30


@pytest.fixture
def tiny_postgres(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Path]]:
    """A server whose database lies on a file system of a few megabytes, and that file system."""
    with server() as made, tmpfs(made.data.parent / "tiny", "24m") as space:
        folder = space / "tables"
        folder.mkdir(mode=0o700)
        made.own(folder)
        made.ask(f"create tablespace tiny location '{folder}'")
        made.ask("create database small tablespace tiny")
        try:
            yield made, space
        finally:
            made.stop()


def test_a_full_disk_refuses_whole_batches_and_works_again_when_there_is_room(
    tiny_postgres: tuple[Server, Path],
) -> None:
    made, space = tiny_postgres
    ballast = space / "ballast"
    ballast.write_bytes(b"x" * 6_000_000)
    with closing(Store(made.url("small"))) as store:
        taken = 0
        with pytest.raises(StoreFull) as error:
            for taken in range(0, 1_000_000, 5000):
                store.add([record(n) for n in range(taken, taken + 5000)])
        assert "is full; free space there" in one_line(error)
        assert len(store.records(T0 + SECOND, T0 + 100 * SECOND)) == 99, "what needs no room is still read"
        assert made.ask("select count(*) from records", made.url("small")) == [(taken,)], "no half batch"
        ballast.unlink()
        store.add([record(n) for n in range(taken, taken + 5000)])
        store.save_run(run(1))
        assert made.ask("select count(*) from records", made.url("small")) == [(taken + 5000,)]
