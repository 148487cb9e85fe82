"""What `helm template` makes of more than one replica; no cluster needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from monitor.config.check import load, problems
from tests.chart.helm import Helm, HelmRefused, Object, kinds, one
from tests.chart.test_templates import (
    CLUSTER_WIDE,
    DEFAULT,
    OPERATOR,
    VERSIONS,
    access,
    config_of,
    pod_specs,
    snapshot,
)

TWO: Object = {"replicas": 2, "storage": {"postgres": {"existingSecret": "db"}}}
ENV = {"AFTERSHOCK_TOKEN": "x", "AFTERSHOCK_STORE__URL": "postgresql://u:p@db/app", "POD_IP": "10.0.0.7"}
ADDED = ["Lease", "PodDisruptionBudget", "Role", "RoleBinding", "Service"]


def services(objects: list[Object]) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == "Service"}


def test_one_replica_is_as_it_always_was(helm: Helm) -> None:
    found = helm.template({"storage": {"postgres": {"existingSecret": "db"}}})
    assert not set(ADDED[:2]) & set(kinds(found))
    assert "selector" in one(found, "Service")["spec"]
    assert "POD_IP" not in str(one(found, "Deployment"))


def test_two_replicas_bring_a_lease_and_what_belongs_to_it(helm: Helm, tmp_path: Path) -> None:
    found = helm.template(TWO)
    without_volume = [kind for kind in DEFAULT if kind != "PersistentVolumeClaim"]
    assert kinds(found) == sorted([*without_volume, *ADDED])
    file = config_of(found, tmp_path)
    assert problems(file, ENV) == []
    spec = load(file, ENV).leader
    assert (spec.enabled, spec.lease_name, spec.service) == (True, "rel-aftershock", "rel-aftershock")
    assert one(found, "Lease")["metadata"]["name"] == spec.lease_name
    assert "spec" not in one(found, "Lease")  # who leads writes it, and an upgrade must not
    env = {each["name"]: each for each in pod_specs(found)[0]["containers"][0]["env"]}
    assert env["POD_IP"]["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
    assert {"POD_NAME", "AFTERSHOCK_STORE__URL"} <= env.keys()


def test_rights_of_replicas_are_for_one_lease_and_one_service(helm: Helm) -> None:
    found = helm.template(TWO | {"targetNamespace": "dynamo", "config": {"guard": {"allowed_kinds": ["pod_delete"]}}})
    snapshot("rights-replicas", access(found))
    assert not CLUSTER_WIDE & set(kinds(found))
    (own,) = [each for each in found if each["kind"] == "Role" and each["metadata"]["name"].endswith("-leader")]
    assert own["metadata"]["namespace"] == "watch"
    unnamed = [(rule["resources"], rule["verbs"]) for rule in own["rules"] if "resourceNames" not in rule]
    assert unnamed == [(["endpoints"], ["create"])]


def test_the_service_leads_to_whoever_leads_and_another_to_all(helm: Helm) -> None:
    found = services(helm.template(TWO))
    main, every = found["rel-aftershock"]["spec"], found["rel-aftershock-replicas"]["spec"]
    assert "selector" not in main
    assert main["ports"][0]["targetPort"] == "http"
    assert (every["clusterIP"], every["publishNotReadyAddresses"]) == ("None", True)
    labels = one(helm.template(TWO), "Deployment")["spec"]["template"]["metadata"]["labels"]
    assert every["selector"].items() <= labels.items()


def test_every_replica_is_scraped_once(helm: Helm) -> None:
    found = helm.template(TWO, more=OPERATOR)
    wanted = one(found, "ServiceMonitor")["spec"]["selector"]["matchLabels"]
    chosen = [name for name, each in services(found).items() if wanted.items() <= each["metadata"]["labels"].items()]
    assert chosen == ["rel-aftershock-replicas"]


def test_replicas_keep_apart_and_roll_one_by_one(helm: Helm) -> None:
    found = helm.template(TWO)
    spec = one(found, "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    terms = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    apart, from_target = (each["podAffinityTerm"]["labelSelector"]["matchLabels"] for each in terms)
    assert apart.items() <= spec["template"]["metadata"]["labels"].items()
    assert from_target == {"nvidia.com/dynamo-graph-deployment-name": "mocker"}
    budget = one(found, "PodDisruptionBudget")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": {"matchLabels": apart}}


@pytest.mark.parametrize("version", VERSIONS)
def test_the_budget_is_of_an_api_that_the_cluster_serves(helm: Helm, version: str) -> None:
    found = helm.template(TWO, more=("--kube-version", version))
    wanted = "policy/v1beta1" if version == "1.20.0" else "policy/v1"
    assert one(found, "PodDisruptionBudget")["apiVersion"] == wanted
    assert one(found, "Lease")["apiVersion"] == "coordination.k8s.io/v1"


def test_the_lease_time_can_be_chosen(helm: Helm, tmp_path: Path) -> None:
    given = TWO | {"config": {"leader": {"lease_seconds": 30}}}
    assert load(config_of(helm.template(given), tmp_path), ENV).leader.lease_seconds == 30


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["replicas=2"], "at '/storage/postgres/existingSecret': minLength: got 0, want 1"),
        (["replicas=0"], "at '/replicas': minimum: got 0, want 1"),
        (["replicas=9", "storage.postgres.existingSecret=db"], "at '/replicas': maximum: got 9, want 5"),
        (["config.leader.enabled=true"], "config.leader.enabled: is set by replicas"),
    ],
)
def test_replicas_that_could_not_work_are_refused(helm: Helm, given: list[str], says: str) -> None:
    with pytest.raises(HelmRefused, match=re.escape(says)):
        helm.template(given=["endpoint=http://a:1", "deployment=mocker", *given])
