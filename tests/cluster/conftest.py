"""One cluster for all tests of this folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.demo.steps import Report
from tests.chart.helm import Helm
from tests.cluster.bench import Bench
from tests.cluster.manifests import Graph, aggregated
from tests.cluster.rig.clients import provide_clients
from tests.cluster.rig.images import DYNAMO
from tests.cluster.rig.node import MACHINE_ADDRESS, Node
from tests.cluster.rig.places import Places
from tests.cluster.rig.preflight import reasons_against
from tests.cluster.small import deploy, image_of
from tests.cluster.world import Cluster, own_node
from tests.support.postgres import Server, server

BEGAN = time.monotonic()
_TOGETHER = (
    *("test_chart", "test_cli", "test_storage", "test_replicas", "test_rig", "test_target", "test_negative"),
    "test_bad_luck",
)
"""Files whose tests share what takes long to make, in the order in which they begin; the longest first."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks who needs a cluster, and who stays together when tests run side by side."""
    for item in filter(_ours, items):
        if "cluster" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.cluster)
        if item.get_closest_marker("xdist_group") is None and item.path.stem in _TOGETHER:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=_turn)


def _ours(item: pytest.Item) -> bool:
    return item.path.parent == Path(__file__).parent


def _turn(item: pytest.Item) -> int:
    """Tests of other folders keep their places before ours."""
    if not _ours(item):
        return -1
    return _TOGETHER.index(item.path.stem) if item.path.stem in _TOGETHER else len(_TOGETHER)


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Report:
    """Progress, also while pytest captures."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None

    def told(text: str) -> None:
        with capture.global_and_fixture_disabled():
            print(f"\n[cluster {time.monotonic() - BEGAN:6.1f} s] {text}", end="", file=sys.stderr, flush=True)

    return told


@pytest.fixture(scope="session")
def cluster(say: Report) -> Iterator[Cluster]:
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
    kubeconfig = node.up(tethered=True)
    try:
        yield from _opened(Cluster(kubeconfig, node, say), keep=not node.started)
    finally:
        if node.started:
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
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace for small pods."""
    with cluster.namespace("faults") as name:
        yield name


@pytest.fixture
def bench(
    cluster: Cluster, graph: Graph, place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Bench]:
    """Pods as the test's marker asks for them."""
    marker = request.node.get_closest_marker("pods")
    small = deploy(cluster, place, image_of(graph), **(marker.kwargs if marker else {}))
    yield Bench(cluster, small, tmp_path)
    small.remove()


@pytest.fixture(scope="module")
def clients(cluster: Cluster, say: Report) -> dict[str, Path]:
    """helm and kubectl."""
    return provide_clients(Places.usual(), say)


@pytest.fixture(scope="module")
def database(cluster: Cluster) -> Iterator[Server]:
    """A PostgreSQL of this machine that pods reach."""
    own_node(cluster, "its pods do not reach a PostgreSQL of this machine")
    with server(listen_addresses=f"127.0.0.1,{MACHINE_ADDRESS}") as made:
        made.allow("10.213.0.0/16")
        yield made


@pytest.fixture(scope="module")
def helm(clients: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """helm, with its own folders."""
    return Helm(clients["helm"], tmp_path_factory.mktemp("helm"))
