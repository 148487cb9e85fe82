"""The chart's store on the real cluster: a claim that is full, a PostgreSQL that restarts. No record is silently lost."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from tests.chart.helm import Helm
from tests.cluster.manifests import Graph
from tests.cluster.release import FOLDERS, QUICK, Release, in_postgres, installed
from tests.cluster.world import Cluster, own_node, until
from tests.support.openmetrics import total
from tests.support.postgres import Server

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]

SMALL = "8m"
"""Room for the store and an hour's records: what is full here is full of somebody else's files."""
OF_ALL = "select r.segment, r.session_num from records r order by 1, 2"


def page(api: httpx.Client) -> str:
    return api.get("/metrics").text


def good(api: httpx.Client) -> float:
    return total(page(api), "probe_requests_total", 'outcome="good"')


def trouble(api: httpx.Client) -> str:
    """Why the store keeps a run from beginning; empty when it does not."""
    said = str(api.post("/api/v1/runs", json={"fault": "none", "dry_run": True}).json()["would_be_refused"] or "")
    return said if "results cannot be stored" in said else ""


def without_store(api: httpx.Client, words: str) -> None:
    """While the store is away: users are asked on, nothing is broken, and records wait."""
    until("the store to be in trouble", 60, lambda: words in trouble(api))
    before = good(api)
    until("good requests meanwhile", 60, lambda: good(api) >= before + 30)
    assert total(page(api), "store_pending_records") >= 30
    assert total(page(api), "store_errors_total") > 0
    refused = api.post("/api/v1/runs", json={"fault": "worker_pod"})
    assert (refused.status_code, refused.json()["rule"]) == (409, "store")


def with_store_again(api: httpx.Client) -> None:
    until("the store to be well", 60, lambda: not trouble(api) and total(page(api), "store_pending_records") < 30)
    assert total(page(api), "store_dropped_records_total") == 0
    assert total(page(api), "probe_gap_seconds_total") == 0, "the load never stood still"


def holes(rows: list[tuple[int, int]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Neighbours between which a request of the same aiperf is missing; the last ones may be under way."""
    settled = rows[:-20]
    return [(a, b) for a, b in pairwise(settled) if a[0] == b[0] and b[1] != a[1] + 1]


@pytest.fixture
def cramped(
    cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path]
) -> Iterator[tuple[Release, str]]:
    """A release with SQLite on a small claim, and the claim's folder on the node."""
    own_node(cluster, "its volumes are not filled")
    with installed(cluster, clients, namespace, graph, helm=helm, config=QUICK, size=SMALL) as release:
        yield release, f"{FOLDERS}/{release.volume}"


def test_a_claim_that_is_full_costs_no_record_and_ends_no_probe(cluster: Cluster, cramped: tuple[Release, str]) -> None:
    release, folder = cramped
    assert cluster.node is not None
    with release.api() as api:
        until("a steady load", 60, lambda: good(api) > 30)
        cluster.node.run("dd", "if=/dev/zero", f"of={folder}/ballast", "bs=4k", check=False)
        without_store(api, "is full; free space there")
        cluster.node.run("rm", f"{folder}/ballast")
        with_store_again(api)
        until("a run to be let", 60, lambda: api.post("/api/v1/runs", json={"fault": "none"}).status_code == 202)
    rows = [(one[0], one[1]) for one in release.ask_sqlite(OF_ALL)]
    assert len(rows) >= 60
    assert holes(rows) == []


@pytest.fixture
def on_postgres(
    *, cluster: Cluster, graph: Graph, namespace: str, helm: Helm, clients: dict[str, Path], database: Server
) -> Iterator[tuple[Release, str]]:
    """A release, and the address of its store."""
    store = database.new()
    with (
        in_postgres(cluster, namespace, store) as values,
        installed(cluster, clients, namespace, graph, helm=helm, config=QUICK, values=values) as release,
    ):
        yield release, store


def test_a_postgresql_that_restarts_costs_no_record_and_ends_no_probe(
    database: Server, on_postgres: tuple[Release, str]
) -> None:
    release, store = on_postgres
    with release.api() as api:
        until("a steady load", 60, lambda: good(api) > 30)
        database.kill()
        without_store(api, "cannot be reached")
        database.start()
        with_store_again(api)
        until("a run to be let", 60, lambda: api.post("/api/v1/runs", json={"fault": "none"}).status_code == 202)
    with psycopg.connect(store) as connection:
        rows: list[Any] = connection.execute(OF_ALL).fetchall()
    assert len(rows) >= 60
    assert holes(rows) == []
