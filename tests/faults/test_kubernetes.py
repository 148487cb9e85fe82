"""The Kubernetes target and the faults on pods against an API server that answers what it is told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from faults.base import Fault, FaultError, NoInstances, NotInjected, PlanContext, Receipt, RevertFailed
from faults.kube import api as api_module
from faults.kube.api import Api
from faults.kube.errors import ClusterError, Request
from faults.kube.graph import Component, components_of, readiness
from faults.kube.watch import PodWatch
from faults.pods import PodDelete, PodEvict, Scale
from faults.process import ProcessStall
from faults.targets.kubernetes import KubernetesTarget, Selection
from tests.faults.kube_server import Answer, Script, api_server, kubeconfig, pod, pods, wait_until

T = TypeVar("T")
PODS = "/api/v1/namespaces/place/pods"
SET = "/apis/apps/v1/namespaces/place/replicasets/set"
DEPLOYMENT = "/apis/apps/v1/namespaces/place/deployments/worker"
GET_PODS = Request("list", "pods", "place")
REVIEWS = "POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
ALL = f"GET {PODS} all"
WORKER = ("worker",)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Script, Path]]:
    with api_server(tmp_path) as made:
        yield made


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_module, "PAUSES", (0.01, 0.01))
    monkeypatch.setattr(api_module, "LONGEST_PAUSE", 0.05)


def target_of(file: Path, selection: Selection | None = None, seconds: float = 2.0) -> KubernetesTarget:
    known = selection or Selection("place", components=(Component("worker", "worker", ("app=worker",)),))
    return KubernetesTarget("test", known, Api(kubeconfig=file, ask_seconds=seconds))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def with_target(file: Path, verb: Any, selection: Selection | None = None, seconds: float = 2.0) -> Any:
    """Run `verb(target)` and close the target."""

    async def inner() -> Any:
        target = target_of(file, selection, seconds)
        try:
            return await verb(target)
        finally:
            await target.close()

    return run(inner())


async def plan(fault: Fault, target: KubernetesTarget, folder: Path) -> Receipt:
    instances = await fault.resolve(target, random.Random(1))  # noqa: S311 - reproducible choice
    return fault.plan(instances, PlanContext("run-1", time.time_ns(), time.monotonic_ns(), folder))


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, "does not accept our credentials"),
        (403, r"not allowed to list pods in namespace place \(403\): grant list on pods"),
        (404, "not found"),
        (409, "changed or replaced meanwhile"),
        (410, "no longer kept"),
        (422, "refused as invalid"),
        (429, "busy or a PodDisruptionBudget"),
        (500, "the API server failed"),
        (503, "the API server failed"),
    ],
)
def test_every_error_is_a_reason(server: tuple[Script, Path], status: int, words: str) -> None:
    script, file = server
    script.put(ALL, Answer.error(status, "the server's own words"))

    async def ask() -> None:
        api = Api(kubeconfig=file)
        with pytest.raises(ClusterError, match=words) as caught:
            await api.get(GET_PODS, PODS)
        assert caught.value.status == status
        assert "the server's own words" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert "secret-token" not in str(caught.value)

    run(ask())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_reads_are_repeated_while_the_trouble_may_pass(server: tuple[Script, Path], status: int) -> None:
    script, file = server
    script.put(ALL, Answer.error(status, "later", Retry_After="0"), pods(pod("a")))
    assert run(Api(kubeconfig=file).get(GET_PODS, PODS))["items"]
    assert script.count("GET") == 2


@pytest.mark.parametrize("status", [401, 403, 404, 409, 410])
def test_what_does_not_pass_is_asked_once(server: tuple[Script, Path], status: int) -> None:
    script, file = server
    script.put(ALL, Answer.error(status, "no"))
    with pytest.raises(ClusterError):
        run(Api(kubeconfig=file).get(GET_PODS, PODS))
    assert script.count("GET") == 1


def test_no_answer_in_time(server: tuple[Script, Path]) -> None:
    script, file = server
    script.put(ALL, Answer(delay=5))
    with pytest.raises(ClusterError, match=r"no answer from the API server within 0\.2 s") as caught:
        run(Api(kubeconfig=file, ask_seconds=0.2).ask(GET_PODS, "GET", PODS))
    assert caught.value.status is None


def test_a_server_that_hangs_up_and_one_that_is_not_there(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    script.put(ALL, Answer(status=0))
    with pytest.raises(ClusterError, match="cannot be reached"):
        run(Api(kubeconfig=file).ask(GET_PODS, "GET", PODS))
    nowhere = kubeconfig(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(ClusterError, match="cannot be reached"):
        run(Api(kubeconfig=nowhere).ask(GET_PODS, "GET", PODS))


def test_a_kubeconfig_that_names_no_cluster(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"no way to the cluster: .*correct deployment\.target\.kubeconfig"):
        run(Api(kubeconfig=tmp_path / "absent").get(GET_PODS, PODS))
    file = kubeconfig(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(FaultError, match=r"no way to the cluster: .*other.*deployment\.target\.context"):
        run(Api(kubeconfig=file, context="other").get(GET_PODS, PODS))


# --- what a deployment is made of -----------------------------------------------------------------


def graph(version: str) -> dict[str, Any]:
    if version == "v1beta1":
        parts = [
            {"name": "Web", "type": "frontend"},
            {"name": "Pre", "type": "prefill"},
            {"name": "Dec", "type": "decode"},
        ]
        return {"metadata": {"name": "g"}, "spec": {"components": parts}}
    services = {
        "Web": {"componentType": "frontend"},
        "Pre": {"componentType": "worker", "subComponentType": "prefill"},
        "Dec": {"componentType": "worker", "subComponentType": "decode"},
    }
    return {"metadata": {"name": "g"}, "spec": {"services": services}}


@pytest.mark.parametrize("version", ["v1alpha1", "v1beta1"])
def test_components_are_read_from_the_resource(version: str) -> None:
    found = components_of(graph(version))
    assert [(one.name, one.service) for one in found] == [("frontend", "Web"), ("prefill", "Pre"), ("decode", "Dec")]
    assert found[2].selectors == (
        "nvidia.com/dynamo-graph-deployment-name=g,nvidia.com/dynamo-component=Dec",
        "nvidia.com/selector=g-dec",
    )


def test_the_only_worker_role_is_called_worker_and_names_stay_apart() -> None:
    services = {
        "Frontend": {"componentType": "frontend"},
        "A": {"componentType": "worker", "subComponentType": "decode"},
        "B": {"componentType": "worker"},
        "Planner": {"componentType": "planner"},
        "Odd": {},
    }
    found = components_of({"metadata": {"name": "g"}, "spec": {"services": services}})
    assert [one.name for one in found] == ["frontend", "worker", "B", "planner", "Odd"]
    assert found[1].is_called("A") and found[1].is_called("worker")


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        ({"state": "successful", "conditions": [{"type": "Ready", "status": "True"}]}, True),
        ({"state": "pending", "conditions": [{"type": "Ready", "status": "True"}]}, False),
        ({"state": "successful", "conditions": [{"type": "Ready", "status": "False"}]}, False),
        ({}, False),
    ],
)
def test_ready_takes_the_condition_and_the_state(status: dict[str, Any], ready: bool) -> None:
    assert readiness({"status": status}).ready is ready


def test_a_name_that_is_not_there_names_what_is(server: tuple[Script, Path]) -> None:
    script, file = server
    base = "/apis/nvidia.com/v1alpha1/namespaces/place/dynamographdeployments"
    script.put(f"GET {base}", Answer(body={"items": [{"metadata": {"name": "other"}}]}))
    with pytest.raises(NoInstances, match="no DynamoGraphDeployment g in namespace place; there is other"):
        with_target(file, lambda target: target.components(), Selection("place", graph_deployment="g"))


def test_the_older_labels_are_tried_when_the_newer_find_nothing(server: tuple[Script, Path]) -> None:
    script, file = server
    base = "/apis/nvidia.com/v1alpha1/namespaces/place/dynamographdeployments/g"
    script.put(f"GET {base}", Answer(body=graph("v1alpha1")))
    script.put(f"GET {PODS}", pods(), pods(pod("old")))
    found = with_target(file, lambda target: target.instances("decode"), Selection("place", graph_deployment="g"))
    assert [one.name for one in found] == ["old"]
    asked = [one.query["labelSelector"] for one in script.asked if "labelSelector" in one.query]
    assert asked[1] == "nvidia.com/selector=g-dec"


# --- out of bounds --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"terminating": True}, "is terminating"),
        ({"labels": {"app.kubernetes.io/name": "aftershock"}}, "is aftershock itself"),
    ],
)
def test_pods_that_are_never_touched(
    server: tuple[Script, Path], tmp_path: Path, more: dict[str, Any], reason: str
) -> None:
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a", **more)))
    with pytest.raises(NoInstances, match=f"a {reason}"):
        with_target(file, lambda target: plan(PodDelete(component=WORKER), target, tmp_path))
    with pytest.raises(NoInstances, match=f"a {reason}"):
        with_target(file, lambda target: plan(ProcessStall(component=WORKER), target, tmp_path))


def test_only_pods_that_opted_in(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    wanted = Selection("place", components=(Component("worker", "worker", ("app=worker",)),), opt_in=("chaos", "yes"))
    script.put(f"GET {PODS}", pods(pod("a"), pod("b", annotations={"chaos": "yes"})))
    found = with_target(file, lambda target: target.instances("worker"), wanted)
    assert [one.name for one in found] == ["b"]
    script.put(f"GET {PODS}", pods(pod("a")))
    with pytest.raises(NoInstances, match="a lacks the annotation chaos=yes"):
        with_target(file, lambda target: plan(PodDelete(component=WORKER), target, tmp_path), wanted)


def test_what_acts_on_a_whole_workload_needs_all_its_pods_to_have_opted_in(
    server: tuple[Script, Path], tmp_path: Path
) -> None:
    script, file = server
    _deployment(script)
    wanted = Selection("place", components=(Component("worker", "worker", ("app=worker",)),), opt_in=("chaos", "yes"))
    fault = Scale(component=WORKER, replicas=1)
    both = pods(pod("a", annotations={"chaos": "yes"}), pod("b", annotations={"chaos": "yes"}))
    script.put(f"GET {PODS}", both)
    assert with_target(file, lambda target: plan(fault, target, tmp_path), wanted).instances
    script.put(f"GET {PODS}", pods(pod("a", annotations={"chaos": "yes"}), pod("b")))
    with pytest.raises(NoInstances, match="did not opt in, and this fault acts on all of Deployment worker"):
        with_target(file, lambda target: plan(fault, target, tmp_path), wanted)


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
def test_the_clusters_own_namespaces(namespace: str) -> None:
    with pytest.raises(FaultError, match="never touched"):
        KubernetesTarget("test", Selection(namespace), Api())


def test_a_receipt_of_another_namespace_is_refused(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    foreign = pod("a")
    foreign["metadata"]["namespace"] = "elsewhere"
    script.put(f"GET {PODS}", pods(foreign))

    async def act(target: KubernetesTarget) -> None:
        fault = PodDelete(component=WORKER)
        await fault.inject(await plan(fault, target, tmp_path), target)

    with pytest.raises(FaultError, match="may only touch place"):
        with_target(file, act)
    assert script.count("DELETE") == 0


# --- faults and the server's moods ----------------------------------------------------------------


def test_a_delete_carries_the_uid_and_no_grace_when_forced(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a")))
    script.put(f"GET {PODS}/a", Answer(body=pod("a")), Answer.error(404, "gone"))
    script.put(f"DELETE {PODS}/a", Answer(body={}))

    async def act(target: KubernetesTarget) -> str:
        fault = PodDelete(component=WORKER, force=True, replace_timeout_seconds=0)
        receipt = await plan(fault, target, tmp_path)
        await fault.inject(receipt, target)
        return (await fault.verify(receipt, target)).summary

    summary = with_target(file, act)
    (asked,) = [one for one in script.asked if one.method == "DELETE"]
    assert asked.body["preconditions"] == {"uid": "uid-a"}
    assert asked.body["gracePeriodSeconds"] == 0
    assert "NOT replaced" in summary


@pytest.mark.parametrize(("status", "words"), [(403, "not allowed to delete pods a"), (409, "conflict"), (429, "busy")])
def test_a_delete_that_is_refused_is_not_injected(
    server: tuple[Script, Path], tmp_path: Path, status: int, words: str
) -> None:
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a")))
    script.put(f"GET {PODS}/a", Answer(body=pod("a")))
    script.put(f"DELETE {PODS}/a", Answer.error(status, "no"))

    async def act(target: KubernetesTarget) -> None:
        fault = PodDelete(component=WORKER)
        await fault.inject(await plan(fault, target, tmp_path), target)

    with pytest.raises(NotInjected, match=words):
        with_target(file, act)


def test_a_delete_without_an_answer_is_found_out_by_verification(server: tuple[Script, Path], tmp_path: Path) -> None:
    """The pod stays: neither the missing answer nor the pod's presence is called an effect."""
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a")))
    script.put(f"GET {PODS}/a", Answer(body=pod("a")))
    script.put(f"DELETE {PODS}/a", Answer.error(503, "no"))

    async def act(target: KubernetesTarget) -> None:
        fault = PodDelete(component=WORKER, verify_timeout_seconds=0.3)
        receipt = await plan(fault, target, tmp_path)
        await fault.inject(receipt, target)
        await fault.verify(receipt, target)

    with pytest.raises(NotInjected, match=r"still there and not terminating 0\.3 s after the delete"):
        with_target(file, act)


def _deployment(script: Script, replicas: int = 2) -> None:
    meta = {"name": "worker", "namespace": "place", "uid": "uid-d", "generation": 1}
    owner = {"kind": "Deployment", "name": "worker", "controller": True}
    script.put(f"GET {PODS}", pods(pod("a"), pod("b")))
    script.put(f"GET {SET}", Answer(body={"metadata": {"name": "set", "ownerReferences": [owner]}, "spec": {}}))
    script.put(f"GET {DEPLOYMENT}", Answer(body={"metadata": meta, "spec": {"replicas": replicas}}))


def _scale(replicas: int, uid: str = "uid-d") -> Answer:
    return Answer(body={"metadata": {"uid": uid}, "spec": {"replicas": replicas}})


def _receipt(file: Path, folder: Path) -> Receipt:
    receipt: Receipt = with_target(file, lambda target: plan(Scale(component=WORKER, replicas=1), target, folder))
    return receipt


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ((_scale(1), _scale(2)), ("reverted", "set back to 2", 1)),
        ((_scale(2),), ("reverted", "has 2 replicas again", 0)),
        ((_scale(5),), ("reverted", "left alone", 0)),
        ((_scale(1, "another"),), ("target_gone", "made anew", 0)),
        ((Answer.error(404, "no"),), ("target_gone", "gone", 0)),
    ],
)
def test_what_a_scale_revert_finds(
    server: tuple[Script, Path], tmp_path: Path, now: tuple[Answer, ...], expected: tuple[str, str, int]
) -> None:
    outcome, words, writes = expected
    script, file = server
    _deployment(script)
    receipt = _receipt(file, tmp_path)
    script.put(f"GET {DEPLOYMENT}/scale", *now)
    script.put(f"PATCH {DEPLOYMENT}/scale", _scale(2))
    result = with_target(file, lambda target: Scale.model_validate(receipt.fault).revert(receipt, target))
    assert (result.outcome, script.count("PATCH")) == (outcome, writes)
    assert words in result.summary


@pytest.mark.parametrize("trouble", [Answer.error(403, "no"), Answer.error(503, "no"), Answer(status=0)])
def test_a_revert_that_cannot_be_done_says_so_and_works_later(
    server: tuple[Script, Path], tmp_path: Path, trouble: Answer
) -> None:
    script, file = server
    _deployment(script)
    receipt = _receipt(file, tmp_path)
    fault = Scale.model_validate(receipt.fault)
    script.put(f"GET {DEPLOYMENT}/scale", _scale(1))
    script.put(f"PATCH {DEPLOYMENT}/scale", trouble)
    with pytest.raises(RevertFailed, match="cannot be set back to 2 replicas"):
        with_target(file, lambda target: fault.revert(receipt, target))
    script.put(f"PATCH {DEPLOYMENT}/scale", _scale(2))
    assert with_target(file, lambda target: fault.revert(receipt, target)).outcome == "reverted"


def test_a_revert_without_a_cluster_is_not_called_done(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    _deployment(script)
    receipt = _receipt(file, tmp_path)
    with pytest.raises(RevertFailed, match="kind kubernetes again"):
        run(Scale.model_validate(receipt.fault).revert(receipt, None))


def test_a_scale_that_an_operator_puts_back_is_not_injected(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    _deployment(script)
    receipt = _receipt(file, tmp_path)
    script.put(f"GET {DEPLOYMENT}/scale", _scale(2))
    script.put(f"PATCH {DEPLOYMENT}/scale", _scale(1))

    async def act(target: KubernetesTarget) -> None:
        fault = Scale.model_validate(receipt.fault)
        await fault.inject(receipt, target)
        await fault.verify(receipt, target)

    with pytest.raises(NotInjected, match="has 2 replicas, not 1: an autoscaler, an operator or a person"):
        with_target(file, act)


# --- budgets and evictions ------------------------------------------------------------------------


def _budget(version: str, selector: Any, allowed: int = 0, observed: int = 1) -> dict[str, Any]:
    status = {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2, "observedGeneration": observed}
    return {"metadata": {"name": "b", "generation": 1}, "spec": {"selector": selector}, "status": status}


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
@pytest.mark.parametrize(
    ("selector", "covers"),
    [
        ({"matchLabels": {"app": "worker"}}, True),
        ({"matchLabels": {"app": "other"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["x", "worker"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["worker"]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
        ({}, None),
        (None, False),
    ],
)
def test_whom_a_budget_covers(
    server: tuple[Script, Path], tmp_path: Path, version: str, selector: Any, covers: bool | None
) -> None:
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a")))
    script.put(f"GET {PODS}/a", Answer(body=pod("a")))
    script.put(
        f"GET /apis/policy/{version}/namespaces/place/poddisruptionbudgets",
        Answer(body={"items": [_budget(version, selector)]}),
    )
    wanted = covers if covers is not None else version == "v1"  # an empty selector changed its meaning

    async def act(target: KubernetesTarget) -> bool:
        try:
            await plan(PodEvict(component=WORKER), target, tmp_path)
        except NotInjected as error:
            assert "PodDisruptionBudget b (allows 0 disruptions: 2 pods healthy, 2 wanted)" in str(error)
            return True
        return False

    assert with_target(file, act) is wanted


def test_a_budget_that_is_not_counted_yet_allows_nothing(server: tuple[Script, Path], tmp_path: Path) -> None:
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a")))
    script.put(f"GET {PODS}/a", Answer(body=pod("a")))
    stale = _budget("v1", {"matchLabels": {"app": "worker"}}, allowed=5, observed=0)
    script.put("GET /apis/policy/v1/namespaces/place/poddisruptionbudgets", Answer(body={"items": [stale]}))
    with pytest.raises(NotInjected, match="allows 0 disruptions"):
        with_target(file, lambda target: plan(PodEvict(component=WORKER), target, tmp_path))


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
def test_an_eviction_is_written_in_the_version_that_the_server_reads(
    server: tuple[Script, Path], tmp_path: Path, version: str
) -> None:
    script, file = server
    script.put(f"GET {PODS}", pods(pod("a")))
    script.put(f"GET {PODS}/a", Answer(body=pod("a")))
    resources = [{"name": "pods/eviction", "group": "policy", "version": version}]
    script.put("GET /api/v1", Answer(body={"resources": resources}))
    script.put(f"POST {PODS}/a/eviction", Answer(body={}))

    async def act(target: KubernetesTarget) -> None:
        fault = PodEvict(component=WORKER)
        await fault.inject(await plan(fault, target, tmp_path), target)

    with_target(file, act)
    (asked,) = [one for one in script.asked if one.method == "POST"]
    assert asked.body["apiVersion"] == f"policy/{version}"
    assert asked.body["deleteOptions"] == {"preconditions": {"uid": "uid-a"}}


# --- rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("permission", "attributes"),
    [
        ("delete pods", ("delete", "", "pods", "", "place")),
        ("create pods/exec", ("create", "", "pods", "exec", "place")),
        ("patch deployments.apps/scale", ("patch", "apps", "deployments", "scale", "place")),
        ("patch nodes", ("patch", "", "nodes", "", None)),
    ],
)
def test_the_cluster_is_asked_for_exactly_the_right(
    server: tuple[Script, Path], permission: str, attributes: tuple[str | None, ...]
) -> None:
    script, file = server
    script.put(REVIEWS, Answer(body={"status": {"allowed": False}}))
    missing = with_target(file, lambda target: target.missing_rights([permission]))
    where = "in the whole cluster" if permission.endswith("nodes") else "in namespace place"
    assert missing == [f"{permission} {where}"]
    (asked,) = [one.body["spec"]["resourceAttributes"] for one in script.asked if one.method == "POST"]
    keys = ("verb", "group", "resource", "subresource", "namespace")
    assert tuple(asked.get(key) for key in keys) == attributes


def test_a_yes_is_believed_for_a_moment_and_a_no_never(server: tuple[Script, Path]) -> None:
    script, file = server
    no, yes = Answer(body={"status": {"allowed": False}}), Answer(body={"status": {"allowed": True}})
    script.put(REVIEWS, no, yes)

    async def act(target: KubernetesTarget) -> list[list[str]]:
        return [await target.missing_rights(["delete pods"]) for _ in range(3)]

    assert [len(one) for one in with_target(file, act)] == [1, 0, 0]
    assert script.count("POST") == 2


def test_nobody_who_tells_is_no_refusal_and_no_answer_is(server: tuple[Script, Path]) -> None:
    script, file = server
    script.put(REVIEWS, Answer.error(403, "no"))
    assert with_target(file, lambda target: target.missing_rights(["delete pods"])) == []
    script.put(REVIEWS, Answer.error(503, "later"))
    with pytest.raises(ClusterError, match="the API server failed"):
        with_target(file, lambda target: target.missing_rights(["delete pods"]))


# --- the watch ------------------------------------------------------------------------------------


def event(kind: str, raw: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": raw}


def test_the_watch_begins_anew_after_410_and_notices_what_went_meanwhile(server: tuple[Script, Path]) -> None:
    script, file = server
    expired = event("ERROR", {"kind": "Status", "code": 410, "message": "too old"})
    script.put(f"GET {PODS} all", pods(pod("a"), pod("b")), pods(pod("b")))
    script.put(f"GET {PODS} watch", Answer(lines=(expired,)), Answer(lines=(), delay=5))
    watch = PodWatch(Api(kubeconfig=file), "place")
    watch.start()
    try:
        wait_until(lambda: watch.resyncs == 2)
        gone, there = watch.seen("uid-a"), watch.seen("uid-b")
        assert gone is not None and gone.gone_ns is not None
        assert there is not None and there.gone_ns is None
    finally:
        watch.stop()


def test_the_watch_survives_a_server_that_hangs_up(server: tuple[Script, Path]) -> None:
    script, file = server
    ending = event("MODIFIED", pod("a", terminating=True))
    deleted = event("DELETED", pod("a", terminating=True))
    script.put(f"GET {PODS} all", Answer(status=0), Answer.error(500, "no"), pods(pod("a")))
    script.put(f"GET {PODS} watch", Answer(status=0), Answer(lines=(ending, deleted)), Answer(lines=(), delay=5))
    watch = PodWatch(Api(kubeconfig=file), "place")
    watch.start()
    try:
        wait_until(lambda: (one := watch.seen("uid-a")) is not None and one.gone_ns is not None)
        seen = watch.seen("uid-a")
        assert seen is not None and seen.terminating_ns is not None and seen.gone_ns is not None
        assert seen.terminating_ns <= seen.gone_ns
        wait_until(lambda: watch.trouble is None)
    finally:
        watch.stop()


def test_a_watch_that_is_not_allowed_says_why(server: tuple[Script, Path]) -> None:
    script, file = server
    script.put(f"GET {PODS} all", pods(pod("a")))
    script.put(f"GET {PODS} watch", Answer.error(403, "no"))
    watch = PodWatch(Api(kubeconfig=file), "place")
    watch.start()
    try:
        wait_until(lambda: watch.trouble is not None and "not allowed to watch pods" in watch.trouble)
    finally:
        watch.stop()


# --- replacements ---------------------------------------------------------------------------------


def test_each_pod_that_went_has_a_replacement_of_its_own(server: tuple[Script, Path]) -> None:
    script, file = server

    async def act(target: KubernetesTarget) -> list[str | None]:
        script.put(f"GET {PODS}", pods(pod("a"), pod("b"), pod("c")))
        before = await target.instances("worker")
        script.put(f"GET {PODS}", pods(pod("c"), pod("x", created="2026-01-01T00:01:00Z")))
        one = [await target.replacement_of(each) for each in before]
        script.put(
            f"GET {PODS}",
            pods(pod("c"), pod("x", created="2026-01-01T00:01:00Z"), pod("y", created="2026-01-01T00:02:00Z")),
        )
        two = [await target.replacement_of(each) for each in before]
        return [each.name if each else None for each in (*one, *two)]

    assert with_target(file, act) == ["x", None, None, "x", "y", None]
