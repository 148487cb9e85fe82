"""One cluster for all tests of this folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.helm import Helm
from tests.cluster.manifests import Graph, aggregated
from tests.cluster.rig.clients import provide_clients
from tests.cluster.rig.images import DYNAMO
from tests.cluster.rig.node import Node
from tests.cluster.rig.places import Places
from tests.cluster.rig.preflight import reasons_against
from tests.cluster.world import Cluster

BEGAN = time.monotonic()


def say(text: str) -> None:
    """Progress, also while pytest captures."""
    print(f"[cluster {time.monotonic() - BEGAN:6.1f} s] {text}", file=sys.__stderr__, flush=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder need a cluster."""
    for item in items:
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The cluster that KUBECONFIG names, or our own node, started for these tests and ended with them."""
    given = os.environ.get("KUBECONFIG")
    if given:
        yield from _opened(Cluster(Path(given), None, say))
        return
    places = Places.usual()
    against = reasons_against(places.cache)
    if against:
        pytest.skip(f"no KUBECONFIG, and no Kubernetes of our own: {'; '.join(against)}")
    node = Node(places, say)
    left_running = node.running  # somebody started it by hand and wants it kept
    kubeconfig = node.up(tethered=True)
    try:
        yield from _opened(Cluster(kubeconfig, node, say), keep=left_running)
    finally:
        if not left_running:
            node.down()
            assert node.remains() == []


def _opened(cluster: Cluster, *, keep: bool = False) -> Iterator[Cluster]:
    """`keep` leaves the definitions: others may be using a node that was started by hand."""
    cluster.install_definitions()
    try:
        yield cluster
    finally:
        if not keep:
            cluster.remove_definitions()
        cluster.close()


@pytest.fixture(scope="module")
def graph(cluster: Cluster) -> Graph:
    """An aggregated Dynamo deployment, as data."""
    return aggregated("mocker", cluster.image(DYNAMO))


@pytest.fixture(scope="module")
def namespace(cluster: Cluster, graph: Graph) -> Iterator[str]:
    """A namespace with the deployment in it, ready."""
    with cluster.namespace("dynamo") as name:
        cluster.install(name, graph)
        yield name


@pytest.fixture(scope="module")
def clients(cluster: Cluster) -> dict[str, Path]:
    """kubectl and helm."""
    return provide_clients(Places.usual(), print)


@pytest.fixture(scope="module")
def helm(cluster: Cluster, clients: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """helm, with a folder for what it keeps."""
    return Helm(clients["helm"], tmp_path_factory.mktemp("helm"))
