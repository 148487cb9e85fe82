"""Negative controls: a fault that cannot take effect is never called one, whatever its kind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from kubernetes import client

from faults.base import Fault, KnowsRights
from faults.kube import rights
from faults.kube.api import Api
from faults.kube.graph import Component
from faults.pods import PodDelete
from faults.registry import AnyFault
from faults.targets.kubernetes import KubernetesTarget, Selection
from monitor.model import Run, Verdict
from monitor.run.guard import Rule
from monitor.run.requests import Request
from tests.cluster.accounts import account, change, forget
from tests.cluster.engines import FAULT, engine, to_end
from tests.cluster.manifests import Graph
from tests.cluster.small import Small, deploy, image_of
from tests.cluster.test_rights import FAULTS, acts
from tests.cluster.world import ASK, Cluster, until

pytestmark = pytest.mark.long

NOBODY = ("nobody",)


@dataclass(frozen=True, slots=True)
class World:
    """Where nothing can be broken by rights."""

    cluster: Cluster
    healthy: Small
    terminating: Small
    empty: str
    weak: Path
    """Kubeconfig of an account that may look and not act."""

    def target(self, small: Small, namespace: str = "", kubeconfig: Path | None = None) -> KubernetesTarget:
        component = Component("worker", "worker", (small.selector,))
        selection = Selection(namespace or small.namespace, components=(component,))
        return KubernetesTarget("small", selection, Api(kubeconfig=kubeconfig or self.cluster.kubeconfig))


@pytest.fixture(scope="module")
def world(cluster: Cluster, graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    looks = sorted({one for fault in FAULTS for one in fault.facts.permissions if not acts(one)})
    with cluster.namespace("negative") as place, cluster.namespace("empty") as empty:
        healthy = deploy(cluster, place, image_of(graph))
        # Its first process does not listen to SIGTERM, so that it is on its way out for a long time.
        leaving = deploy(cluster, place, image_of(graph), grace=600)
        body = {"spec": {"replicas": 0}}
        cluster.apps.patch_namespaced_deployment_scale(leaving.name, place, body, _request_timeout=ASK)
        until("the pod to be terminating", 30, lambda: leaving.pods()[0].metadata.deletion_timestamp is not None)
        weak = account(cluster, place, "weak", looks, tmp_path_factory.mktemp("weak"))
        try:
            yield World(cluster, healthy, leaving, empty, weak)
        finally:
            forget(cluster, place, "weak")
            for pod in leaving.pods():
                with contextlib.suppress(client.ApiException):
                    cluster.core.delete_namespaced_pod(
                        pod.metadata.name, place, grace_period_seconds=0, _request_timeout=ASK
                    )


def wrong_name(world: World, fault: Fault) -> tuple[KubernetesTarget, Fault, Verdict, str]:
    elsewhere = fault.model_copy(update={"component": NOBODY})
    return world.target(world.healthy), elsewhere, Verdict.NOT_INJECTED, "no component nobody in small; there is"


def wrong_namespace(world: World, fault: Fault) -> tuple[KubernetesTarget, Fault, Verdict, str]:
    words = f"component worker has no pods in namespace {world.empty}"
    return world.target(world.healthy, world.empty), fault, Verdict.NOT_INJECTED, words


def terminating(world: World, fault: Fault) -> tuple[KubernetesTarget, Fault, Verdict, str]:
    return world.target(world.terminating), fault, Verdict.NOT_INJECTED, "no pod that can be touched"


def missing_right(world: World, fault: Fault) -> tuple[KubernetesTarget, Fault, Verdict, str]:
    place = world.healthy.namespace
    lacking = [one for one in fault.facts.permissions if acts(one)]
    where = [f"{one} in {'the whole cluster' if one.endswith(' nodes') else f'namespace {place}'}" for one in lacking]
    words = f"kind {fault.kind} lacks the right to {', to '.join(where)}: grant it"
    return world.target(world.healthy, kubeconfig=world.weak), fault, Verdict.SKIPPED, words


CASES: tuple[Callable[[World, Fault], tuple[KubernetesTarget, Fault, Verdict, str]], ...] = (
    wrong_name,
    wrong_namespace,
    terminating,
    missing_right,
)


def test_every_kind_that_acts_on_pods_is_controlled_here() -> None:
    registered = [kind for kind in AnyFault.__origin__.__args__]  # type: ignore[attr-defined]  # noqa: C416
    on_pods = {kind.model_fields["kind"].default for kind in registered if kind.facts.permissions}
    assert {fault.kind for fault in FAULTS} == on_pods


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.kind)
def test_no_kind_claims_an_effect_that_it_cannot_have(
    world: World, tmp_path: Path, fault: Fault, case: Callable[..., tuple[KubernetesTarget, Fault, Verdict, str]]
) -> None:
    target, fault, verdict, words = case(world, fault)
    uid = world.healthy.pods()[0].metadata.uid

    async def live() -> Run:
        try:
            return await to_end(engine(fault, target, tmp_path))
        finally:
            await target.close()

    run = asyncio.run(live())
    assert (run.verdict, words in run.reason) == (verdict, True), run.reason
    assert run.t_effect is None
    assert not run.receipt_open
    (pod,) = world.healthy.pods()
    assert (pod.metadata.uid, pod.status.container_statuses[0].restart_count) == (uid, 0)
    assert world.healthy.ready()


def test_rights_that_go_while_it_runs_refuse_the_next_run(
    cluster: Cluster, graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "KEEP_SECONDS", 0.0)
    needed = PodDelete.facts.permissions
    with cluster.namespace("going") as place:
        small = deploy(cluster, place, image_of(graph))
        kubeconfig = account(cluster, place, "going", needed, tmp_path)
        target = World(cluster, small, small, "", kubeconfig).target(small, kubeconfig=kubeconfig)
        fault = PodDelete(component=("worker",), force=True)

        async def live() -> tuple[Run, Run, str | None]:
            one = engine(fault, target, tmp_path)
            refused: list[Rule] = []
            one.on_refused = lambda _run, refusal: refused.append(refusal.rule)
            first = await to_end(one)
            await asyncio.to_thread(change, cluster, place, "going", [x for x in needed if x != "delete pods"])
            async with asyncio.timeout(10):
                assert isinstance(target, KnowsRights)
                while not await target.missing_rights(needed):
                    await asyncio.sleep(0.1)
            second = await to_end(one)
            assert refused == [Rule.RIGHTS]
            dry = await one.dry_run(Request(fault=FAULT))
            await target.close()
            return first, second, dry.would_be_refused

        try:
            first, second, dry = asyncio.run(live())
        finally:
            forget(cluster, place, "going")
        assert first.verdict is Verdict.RECOVERED, first.reason
        words = f"kind pod_delete lacks the right to delete pods in namespace {place}"
        assert second.verdict is Verdict.SKIPPED
        assert second.reason.startswith(words)
        assert dry is not None and dry.startswith(words)
