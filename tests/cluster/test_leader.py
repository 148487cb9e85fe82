"""Two replicas take turns on the real cluster: whatever becomes of the leader, the other puts back what it broke."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psycopg
import pytest

from faults.kube.api import Api
from faults.kube.graph import Component
from faults.targets.kubernetes import KubernetesTarget, Selection
from tests.cluster.between import Way, way_to
from tests.cluster.manifests import Graph
from tests.cluster.replicas import (
    GRACE,
    SECONDS,
    Pair,
    config,
    endpoint,
    family,
    freeze,
    thaw,
)
from tests.cluster.small import Small, deploy, image_of
from tests.cluster.world import ASK, Cluster
from tests.support.monitor import Monitor, wait_for
from tests.support.postgres import Server

pytestmark = pytest.mark.long

WITHIN = SECONDS + GRACE


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    with cluster.namespace("turns") as name:
        yield name


@pytest.fixture
def store(postgres: Server) -> str:
    return postgres.new()


@pytest.fixture
def way(cluster: Cluster, tmp_path: Path) -> Iterator[Way]:
    """The replicas' way to the API server; everybody else has one of their own."""
    assert cluster.kubeconfig is not None
    with way_to(cluster.kubeconfig, tmp_path / "kubeconfig") as made:
        yield made


@pytest.fixture
def worker(cluster: Cluster, graph: Graph, place: str) -> Iterator[Small]:
    small = deploy(cluster, place, image_of(graph), replicas=2)
    yield small
    small.remove()


@pytest.fixture
def pair(worker: Small, way: Way, tmp_path: Path, store: str) -> Iterator[Pair]:
    """Both started; which of them leads is their own affair."""
    with ExitStack() as stack:
        port = stack.enter_context(endpoint())
        kubeconfig = tmp_path / "kubeconfig"
        replicas = {
            name: stack.enter_context(Monitor(config(port, store, worker, kubeconfig, name), tmp_path / name))
            for name in ("a", "b")
        }
        for one in replicas.values():
            one.start(ready=False)
        yield Pair(worker.cluster, worker, replicas)


def begin(pair: Pair, fault: str) -> tuple[str, Monitor, str]:
    """The leader's name, the leader, and the id of a run of it that has taken effect for all to see."""
    name, leader = pair.leading()
    leader.wait_steady(fault=fault)
    run = leader.inject(fault)["id"]
    seen = leader.wait_phase(run, "effective")
    assert seen["phase"] == "effective", seen["reason"]
    assert broken(pair, fault)
    return name, leader, run


def reverted(pair: Pair, run: str, since: float, *, old: str) -> tuple[Monitor, dict[str, Any]]:
    """The new leader, and the run as it has ended it; in time."""
    _, new = pair.leading(WITHIN + 60, other_than=old)
    found = new.run(run)
    assert found["verdict"] == "aborted", found
    assert found["t_reverted"] is not None
    assert found["receipt_open"] is False
    took = found["t_reverted"] / 1e9 - since
    assert took < WITHIN, f"reverted {took:.1f} s after the leader was gone, not within {WITHIN:g} s"
    return new, found


def gap_between_leaders(new: Monitor, store: str, since: float) -> None:
    """The stretch in which nobody probed is told as what it is, and is over."""

    def look() -> list[tuple[int, int]] | None:
        with psycopg.connect(store) as connection:
            query = "select start_ns, end_ns from gaps where reason like '%the leading replica changed%'"
            found = connection.execute(query).fetchall()
        return found if found and all(end is not None for _, end in found) else None

    new.wait_steady()
    ((start, end),) = wait_for("the gap to be recorded", look, 60)
    assert start / 1e9 < since + 1
    assert (end - start) / 1e9 > 1


def states(pair: Pair) -> set[str]:
    """State letters of the first processes of the worker's pods, by a look from inside."""

    async def look() -> set[str]:
        selection = Selection(
            pair.worker.namespace, components=(Component("worker", "worker", (pair.worker.selector,)),)
        )
        target = KubernetesTarget("small", selection, Api(kubeconfig=pair.cluster.kubeconfig))
        try:
            found = set()
            for instance in await target.instances("worker"):
                assert instance.pod is not None
                session = await target.containers.run(instance.pod, ["list"], 10)
                found |= {str(line.values["state"]) for line in session.all("process") if line.values["pid"] == 1}
            return found
        finally:
            await target.close()

    return asyncio.run(look())


def cordoned(pair: Pair) -> list[str]:
    """Names of the nodes on which nothing new may run."""
    found: list[Any] = pair.cluster.core.list_node(_request_timeout=ASK).items
    return [one.metadata.name for one in found if one.spec.unschedulable]


def broken(pair: Pair, fault: str) -> bool:
    """Whether the fault acts, by a look that asks no replica."""
    match fault:
        case "stall":
            return bool(states(pair) & {"T", "t"})
        case "down":
            return pair.wanted() == 1
        case _:
            return bool(cordoned(pair))


@pytest.fixture
def uncordoned(pair: Pair) -> Iterator[None]:
    """Whatever becomes of the test, the node takes pods again."""
    yield
    for node in cordoned(pair):
        pair.cluster.core.patch_node(node, {"spec": {"unschedulable": False}}, _request_timeout=ASK)


EACH = pytest.mark.parametrize("fault", ["stall", "down", pytest.param("cordon", marks=pytest.mark.alone)])


@EACH
@pytest.mark.usefixtures("uncordoned")
def test_a_leader_that_is_killed_is_followed_by_the_other(pair: Pair, store: str, fault: str) -> None:
    name, leader, run = begin(pair, fault)
    before = pair.generation()
    leader.kill()
    since = time.time()
    new, found = reverted(pair, run, since, old=name)
    assert not broken(pair, fault)
    gap_between_leaders(new, store, since)
    # Nothing is injected twice: one run there was, and one there is; a scale is set back once and not broken again.
    assert new.get("/api/v1/runs").json()["total"] == 1
    assert [one["phase"] for one in found["transitions"]].count("injected") == 1
    assert pair.generation() == before + (fault == "down")
    assert new.status()["active_run"] is None


@EACH
@pytest.mark.usefixtures("uncordoned")
def test_a_frozen_leader_is_followed_and_touches_nothing_when_it_wakes(pair: Pair, store: str, fault: str) -> None:
    name, leader, run = begin(pair, fault)
    before = pair.generation()
    frozen = freeze(leader)
    since = time.time()
    try:
        new, ended = reverted(pair, run, since, old=name)
        assert not broken(pair, fault)
        gap_between_leaders(new, store, since)
    finally:
        thaw(frozen)
    assert leader.process is not None
    assert leader.process.wait(30) == 1
    assert "this replica leads no more" in leader.log()
    wait_for("its probes to be gone", lambda: not [one for one in frozen if one.is_running()], 30)
    assert not broken(pair, fault)
    assert pair.generation() == before + (fault == "down")
    assert new.run(run) == ended  # and not a word of the old one in the store
    assert pair.holder() == ("b" if name == "a" else "a")


def test_when_both_are_killed_the_stall_ends_by_itself_and_the_next_start_reverts_the_rest(
    pair: Pair, store: str
) -> None:
    name, leader, run = begin(pair, "down")
    pair.other(name).kill()
    leader.kill()
    assert pair.wanted() == 1
    pair.other(name).start(ready=False)
    _, new = pair.leading(other_than=name)
    assert pair.wanted() == 2
    assert new.run(run)["verdict"] == "aborted"
    # A stall needs nobody: the helper in the container keeps its deadline.
    new.wait_steady(fault="stall")
    second = new.inject("stall", duration_seconds=15)["id"]
    assert new.wait_phase(second, "effective")["phase"] == "effective"
    assert states(pair) & {"T", "t"}
    new.kill()
    wait_for("the stall to end by its deadline", lambda: not states(pair) & {"T", "t"}, 40, every=1.0)
    assert new.process is not None
    assert new.process.poll() is not None


def test_a_leader_whose_lease_another_has_taken_stops_at_once_and_reverts_nothing(pair: Pair, store: str) -> None:
    name, leader, run = begin(pair, "down")
    before = pair.generation()
    members = family(leader)
    pair.steal()
    assert leader.process is not None
    assert leader.process.wait(30) == 1
    assert "held by somebody-else" in leader.log()
    assert pair.generation() == before  # what is broken is for whoever leads now
    wait_for("its probes to be gone", lambda: not [one for one in members if one.is_running()], 30)
    # Somebody else is never heard of again, so the other replica has its turn.
    _, new = pair.leading(other_than=name)
    assert pair.wanted() == 2
    assert new.run(run)["verdict"] == "aborted"


def test_a_newer_term_in_the_store_ends_a_leader_that_still_holds_its_lease(pair: Pair, store: str) -> None:
    _, leader, _ = begin(pair, "down")
    before = pair.generation()
    with psycopg.connect(store) as connection:
        newer = '{"term": 1000, "holder": "a newer one"}'
        connection.execute("update flags set value = %s where name = 'leader'", (newer,))
    assert leader.process is not None
    assert leader.process.wait(30) == 1
    assert "a newer one leads since (term 1000)" in leader.log()
    assert pair.generation() == before


def test_a_leader_that_is_told_to_stop_reverts_and_hands_over_at_once(pair: Pair, store: str) -> None:
    name, leader, run = begin(pair, "down")
    assert leader.stop() == 0
    assert pair.wanted() == 2
    assert pair.holder() != name
    _, new = pair.leading(other_than=name)
    assert "the lease was given back" in leader.log()
    found = new.run(run)
    assert (found["verdict"], "told to stop" in found["reason"]) == ("aborted", True)
    assert new.status()["stopped"] is None


def test_who_stands_by_says_so(pair: Pair, store: str) -> None:
    name, leader = pair.leading()
    standby = pair.other(name)
    # It hears of the leader by its next look at the Lease.
    wait_for("it to know who leads", lambda: standby.get("/readyz").json()["reason"].startswith(f"{name}_"), 30)
    assert standby.get("/readyz").json()["status"] == "standby"
    refused = standby.post("/api/v1/runs", {"fault": "none"})
    assert refused.status_code == 503
    assert refused.json()["detail"].startswith(f"this replica stands by: {name}_")
    assert "aftershock_leader 0.0" in standby.get("/metrics").text
    assert "aftershock_leader 1.0" in leader.get("/metrics").text
    leader.post("/api/v1/stop", {"reason": "kept over the change"})
    assert leader.stop() == 0
    _, new = pair.leading(other_than=name)
    assert new.status()["stopped"]["reason"] == "kept over the change"


def test_an_api_server_that_is_away_ends_no_leader_and_no_probe(pair: Pair, way: Way, store: str) -> None:
    name, leader = pair.leading()
    leader.wait_steady()

    def uncertain() -> bool:
        reason = leader.post("/api/v1/runs", {"fault": "none", "dry_run": True}).json()["would_be_refused"]
        return "the lease could not be renewed in time" in str(reason)

    way.close()
    wait_for("the leader to be uncertain", uncertain, 30)
    assert pair.other(name).get("/readyz", check=False).status_code == 503
    over = time.monotonic() + 2 * SECONDS
    while time.monotonic() < over:  # longer than a lease
        assert uncertain()
        time.sleep(0.5)
    way.reopen()
    wait_for("the leader to be certain again", lambda: not uncertain(), 30)
    leader.wait_steady()
    assert pair.holder() == name
    with psycopg.connect(store) as connection:
        assert connection.execute("select * from gaps").fetchall() == []
        ((flag,),) = connection.execute("select value from flags where name = 'leader'").fetchall()
    assert flag.startswith('{"term": 1,')
