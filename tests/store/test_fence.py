"""Terms of leaders: whoever was followed by another writes not a word more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from monitor.store.errors import Fenced, StoreError
from monitor.store.store import Store
from probes.record import Gap
from tests.store.conftest import Place
from tests.support.records import SECOND, T0, record, run

EVERYTHING = (T0 - SECOND, T0 + 10**7 * SECOND)

WRITES: dict[str, Callable[[Store], object]] = {
    "a run": lambda store: store.save_run(run(2)),
    "records": lambda store: store.add([record(2)]),
    "a gap": lambda store: store.add([], [Gap("chat", T0, None, "x")]),
    "a flag": lambda store: store.set_flag("stopped", {"a": 1}),
    "housekeeping": lambda store: store.fold(T0 + 10**6 * SECOND),
    "forgetting": lambda store: store.forget(T0 + 10**6 * SECOND),
    "a check": lambda store: store.check(),
}


@pytest.fixture
def other(place: Place, store: Store) -> Iterator[Store]:
    """The same store, as another replica has it open."""
    with closing(Store(place.url)) as made:
        yield made


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_who_was_followed_by_another_writes_nothing(
    store: Store, other: Store, write: Callable[[Store], object]
) -> None:
    assert store.take_term("a") == 1
    store.save_run(run(1))
    store.add([record(1)])
    assert other.take_term("b") == 2
    told: list[Fenced] = []
    store.on_fenced = told.append
    with pytest.raises(Fenced, match=r"^b leads since \(term 2\); this replica's term 1 is over, it may not write$"):
        write(store)
    assert len(told) == 1
    assert [one.session_num for one in other.records(*EVERYTHING)] == [1]
    assert other.runs()[1] == 1
    assert other.flag("stopped") is None
    write(other)


def test_terms_go_on_over_restarts(place: Place, store: Store) -> None:
    store.take_term("a")
    with closing(Store(place.url)) as again:
        assert again.take_term("a") == 2


def test_no_term_is_taken_by_who_may_not_lead_any_more(store: Store, other: Store) -> None:
    """A process that won its lease and then stood still must not shut out who leads by now."""
    store.take_term("a")
    with pytest.raises(Fenced, match="no term is taken: too late"):
        other.take_term("b", lambda: "too late")
    store.save_run(run(1))


def test_a_service_without_replicas_knows_no_terms(store: Store, other: Store) -> None:
    store.save_run(run(1))
    assert store.flag("leader") is None
    other.take_term("b")
    store.save_run(run(2))


def test_of_many_at_once_one_has_the_last_word(place: Place, store: Store) -> None:
    with closing(Store(place.url)) as second, closing(Store(place.url)) as third:
        candidates = {"a": store, "b": second, "c": third}
        terms: dict[str, int] = {}

        def take(name: str) -> None:
            terms[name] = candidates[name].take_term(name)

        threads = [threading.Thread(target=take, args=(name,)) for name in candidates]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert sorted(terms.values()) == [1, 2, 3]
        for name, each in candidates.items():
            if terms[name] == 3:
                each.save_run(run(1))
            else:
                with pytest.raises(Fenced):
                    each.save_run(run(1))


@pytest.mark.parametrize("isolation", ["read committed", "repeatable read"])
def test_who_waits_while_another_takes_the_term_is_shut_out_too(place: Place, isolation: str) -> None:
    if place.kind == "postgresql":
        name = place.url.rpartition("/")[2]
        place.ask(f"alter database {name} set default_transaction_isolation = '{isolation}'")
    with closing(Store(place.url)) as old, closing(Store(place.url)) as new:
        old.take_term("a")
        raised: list[BaseException] = []

        def write() -> None:
            try:
                old.save_run(run(1))
            except StoreError as error:
                raised.append(error)

        waiting = threading.Thread(target=write)

        def inside() -> None:
            waiting.start()
            waiting.join(0.3)
            assert waiting.is_alive(), "it did not wait for the one writer"

        new.take_term("b", inside)
        waiting.join()
        assert [type(one) for one in raised] == [Fenced]
        assert new.runs()[1] == 0


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_replicas_share_a_postgresql_that_a_single_service_does_not(place: Place, store: Store, other: Store) -> None:
    """Of a file the lock of data_dir says who has it."""
    store.hold(shared=True)
    other.hold(shared=True)
    with closing(Store(place.url)) as alone:
        with pytest.raises(StoreError, match="in use by another aftershock service"):
            alone.hold()
        store.close()
        other.close()
        alone.hold()
        with closing(Store(place.url)) as late, pytest.raises(StoreError, match="in use by another aftershock"):
            late.hold(shared=True)


def test_what_the_last_leader_saw_last_is_known(store: Store) -> None:
    assert store.last_starts(["chat"]) == {}
    store.add([record(3), record(1)], [Gap("chat", T0, None, "x"), Gap("chat", T0 + 5, T0 + 9, "y")])
    assert store.last_starts(["chat", "other"]) == {"chat": record(3).start_ns}
    assert store.last_starts(["other"]) == {}
    assert [one.start_ns for one in store.open_gaps()] == [T0]
