"""The arithmetic of the lease, in a made-up world of slow networks, standing processes and clocks that are wrong."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.leader.election import ACTING, Election, Read, Record, Role, Wait, Write

SECONDS = 10.0
TIMEOUT = 2.0
HORIZON = 200.0


@dataclass
class Server:
    """The Lease, with versions."""

    record: Record | None = None
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def write(self, over: Record | None, holder: str) -> Record | None:
        """None: refused, it is not what it was."""
        if (over.version if over else None) != (self.record.version if self.record else None):
            return None
        self.record = Record(holder, SECONDS, str(next(self.versions)))
        return self.record


@dataclass
class Luck:
    """What goes how wrong, used up one by one and from the beginning again."""

    fates: list[tuple[float, float, str]]
    _next: int = 0

    def fate(self) -> tuple[float, float, str]:
        found = self.fates[self._next % len(self.fates)]
        self._next += 1
        return found


class World:
    """Replicas on one server. Keeps the stretches of true time in which each might have acted."""

    def __init__(self, luck: Luck) -> None:
        self.luck = luck
        self.server = Server()
        self.acting: list[tuple[str, float, float]] = []
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, work: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), work))

    def go(self) -> None:
        while self._events and self._events[0][0] < HORIZON:
            when, _, work = heapq.heappop(self._events)
            work(when)


@dataclass
class Replica:
    """A process with a clock of its own; `ends` is when it gives the lease back and begins anew."""

    world: World
    name: str
    offset: float
    pace: float
    ends: float
    lives: int = 0
    election: Election = field(init=False)

    def __post_init__(self) -> None:
        self.born(0.0)

    def born(self, now: float) -> None:
        self.lives += 1
        self.election = Election(f"{self.name}-{self.lives}", SECONDS)
        self.world.at(now, self.step)

    def clock(self, true: float) -> float:
        return self.offset + self.pace * true

    def true(self, clock: float) -> float:
        return (clock - self.offset) / self.pace

    def step(self, now: float) -> None:
        if self.election.role is Role.LOST:
            return self.born(now)
        if now >= self.ends and self.election.role is Role.LEADER:
            return self.release(now)
        todo = self.election.next(self.clock(now))
        if isinstance(todo, Wait):
            late = self.world.luck.fate()[0] if self.world.luck.fate()[2] else 0.0
            return self.world.at(max(now, self.true(todo.until)) + late + 1e-6, self.step)
        return self.ask(todo, now)

    def ask(self, todo: Read | Write, now: float) -> None:
        there, back, mishap = self.world.luck.fate()
        sent, identity = self.clock(now), self.election.identity
        if mishap == "request lost":
            return self.world.at(now + TIMEOUT, self.no_answer)

        def arrived(when: float) -> None:
            answer = (
                self.world.server.record if isinstance(todo, Read) else self.world.server.write(todo.over, identity)
            )
            if there > TIMEOUT:  # given up already, and done all the same
                return
            if mishap == "answer lost":
                self.world.at(when + TIMEOUT, self.no_answer)
            else:
                self.world.at(when + back, lambda then: self.told(todo, answer, sent, then))

        self.world.at(now + there, arrived)
        if there > TIMEOUT:
            self.world.at(now + TIMEOUT, self.no_answer)
        return None

    def told(self, todo: Read | Write, answer: Record | None, sent: float, now: float) -> None:
        if isinstance(todo, Read):
            self.election.saw(answer, self.clock(now))
        elif answer is None:
            self.election.outrun(self.clock(now))
        else:
            self.election.wrote(answer, sent)
            end = self.true(sent + SECONDS * ACTING)
            if self.election.may_act(self.clock(now)):
                self.world.acting.append((self.election.identity, now, end))
        self.step(now)

    def no_answer(self, now: float) -> None:
        self.election.unanswered(self.clock(now))
        self.step(now)

    def release(self, now: float) -> None:
        """It acts no more, and says so."""
        mine = self.election.identity
        self.world.acting = [
            (who, begin, min(end, now) if who == mine else end) for who, begin, end in self.world.acting
        ]
        held = self.world.server.record
        if held is not None and held.holder == mine:
            version = str(next(self.world.server.versions))
            self.world.server.record = replace(held, holder="", version=version)
        self.ends = HORIZON
        self.born(now)


def overlaps(acting: list[tuple[str, float, float]]) -> list[tuple[str, str, float]]:
    """Instants at which two might have acted."""
    found = []
    for (who, begin, end), (other, begun, ended) in itertools.combinations(acting, 2):
        if who != other and max(begin, begun) < min(end, ended):
            found.append((who, other, max(begin, begun)))
    return found


fates = st.tuples(
    st.floats(0, 12),
    st.floats(0, 12),
    st.sampled_from(["", "", "", "request lost", "answer lost"]),
)
clocks = st.tuples(st.floats(-1e6, 1e6), st.floats(0.9, 1.1), st.floats(5, HORIZON))


@settings(max_examples=400, deadline=None)
@given(
    luck=st.lists(fates, min_size=1, max_size=40),
    first=clocks,
    second=clocks,
    deleted=st.floats(0, HORIZON),
)
def test_two_replicas_never_both_believe_that_they_lead(
    luck: list[tuple[float, float, str]],
    first: tuple[float, float, float],
    second: tuple[float, float, float],
    deleted: float,
) -> None:
    world = World(Luck(luck))
    for name, (offset, pace, ends) in (("a", first), ("b", second)):
        Replica(world, name, offset, pace, ends)

    def delete(_: float) -> None:
        world.server.record = None

    world.at(deleted, delete)
    world.go()
    assert overlaps(world.acting) == []


def test_somebody_leads_in_a_world_without_bad_luck() -> None:
    world = World(Luck([(0.01, 0.01, "")]))
    Replica(world, "a", 0, 1.0, HORIZON)
    Replica(world, "b", 50, 1.0, HORIZON)
    world.go()
    led = {who for who, _, _ in world.acting}
    assert len(led) == 1
    # From the first lease time to the end, without a pause.
    assert world.acting[0][1] < SECONDS + 1
    ends = itertools.pairwise(world.acting)
    assert all(later[1] < earlier[2] for earlier, later in ends)
    assert world.acting[-1][2] > HORIZON


# --- one by one -----------------------------------------------------------------------------------


def held(holder: str | None, version: str = "1", seconds: float = SECONDS) -> Record:
    return Record(holder, seconds, version)


@pytest.mark.parametrize("there", [None, held(None), held("other"), held("other", seconds=1)])
def test_a_candidate_waits_for_the_whole_lease_of_whatever_it_has_not_seen_change(there: Record | None) -> None:
    one = Election("me", SECONDS)
    watch(one, there, 100.0, 100.0 + SECONDS - 0.1)
    assert isinstance(one.next(100.0 + SECONDS - 0.1), Wait)
    one.saw(there, 100.0 + SECONDS)
    assert one.next(100.0 + SECONDS) == Write(there)


def watch(one: Election, there: Record | None, begin: float, end: float) -> None:
    """Look at it twice a second."""
    for number in range(round((end - begin) * 2)):
        one.saw(there, begin + number / 2)
    one.saw(there, end)


def test_a_candidate_that_saw_nothing_for_long_begins_anew() -> None:
    """When the API server was away for all, the leader shall have its lease back first."""
    one = Election("me", SECONDS)
    watch(one, held("other"), 0.0, 4.0)
    one.unanswered(8.0)
    one.saw(held("other"), 30.0)
    assert isinstance(one.next(30.0), Wait)
    watch(one, held("other"), 30.5, 40.0)
    assert isinstance(one.next(40.0), Write)


def test_a_change_begins_the_wait_anew() -> None:
    one = Election("me", SECONDS)
    watch(one, held("other", "1"), 0.0, 8.5)
    watch(one, held("other", "2"), 9.0, 18.9)
    assert isinstance(one.next(18.9), Wait)
    one.saw(held("other", "2"), 19.0)
    assert isinstance(one.next(19.0), Write)


def test_a_longer_lease_of_the_holder_is_respected() -> None:
    one = Election("me", SECONDS)
    watch(one, held("other", seconds=30), 0.0, 29.0)
    assert isinstance(one.next(29.0), Wait)


def test_what_was_given_back_is_taken_at_once() -> None:
    one = Election("me", SECONDS)
    one.saw(held(""), 5.0)
    assert isinstance(one.next(5.0), Write)


def leader(sent: float = 0.0) -> Election:
    one = Election("me", SECONDS)
    one.saw(held(""), sent)
    one.wrote(held("me", "2"), sent)
    return one


def test_a_leader_counts_from_the_sending() -> None:
    one = leader(sent=100.0)
    assert one.may_act(100.0 + SECONDS * ACTING - 0.01)
    assert not one.may_act(100.0 + SECONDS * ACTING)


def test_a_renewal_without_an_answer_is_made_good_while_nobody_else_has_taken_it() -> None:
    one = leader()
    one.unanswered(8.0)
    assert not one.may_act(8.0)
    assert one.role is Role.LEADER
    one.saw(held("me", "3"), 60.0)
    assert one.next(60.0) == Write(held("me", "3"))
    one.wrote(held("me", "4"), 60.0)
    assert one.may_act(61.0)


def test_a_lease_that_was_deleted_is_made_again_only_while_nobody_else_can_have_one() -> None:
    one = leader()
    one.saw(None, 2.0)
    assert one.next(2.0) == Write(None)
    one.unanswered(2.0)
    one.saw(None, SECONDS * ACTING)
    assert (one.role, one.reason) == (Role.LOST, "the lease is gone")


@pytest.mark.parametrize(("found", "says"), [(held("b", "3"), "held by b"), (held("", "3"), "free")])
def test_a_leader_whose_lease_is_not_its_own_any_more_has_lost(found: Record, says: str) -> None:
    one = leader()
    one.outrun(2.0)
    one.saw(found, 2.1)
    assert one.role is Role.LOST
    assert says in one.reason
    assert not one.may_act(2.1)
    one.wrote(held("me", "9"), 2.0)
    assert not one.may_act(2.2)
