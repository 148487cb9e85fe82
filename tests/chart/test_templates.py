"""What `helm template` makes of values; no cluster needed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from faults.targets.kubernetes import FORBIDDEN_NAMESPACES
from monitor.chart.build import CHART
from monitor.config.check import load, problems
from monitor.config.targets import KubernetesTargetSpec
from tests.chart.helm import Helm, HelmRefused, Object, kinds, one

SNAPSHOTS = Path(__file__).parent / "snapshots"
OPERATOR = ("--api-versions", "monitoring.coreos.com/v1")
VERSIONS = [f"1.{minor}.0" for minor in range(20, 35)]
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "PersistentVolume", "Namespace"}
DEFAULT = [
    *("ConfigMap", "Deployment", "Job", "NetworkPolicy", "PersistentVolumeClaim", "Pod"),
    *("Role", "RoleBinding", "Secret", "Service", "ServiceAccount"),
]


def config_of(objects: list[Object], folder: Path) -> Path:
    """The service's configuration file, as the pod sees it."""
    maps = [each for each in objects if each["kind"] == "ConfigMap" and "config.yaml" in each["data"]]
    file = folder / "config.yaml"
    file.write_text(maps[0]["data"]["config.yaml"], encoding="utf-8")
    return file


def pod_specs(objects: list[Object]) -> list[Object]:
    """Specs of all pods, also of those that Jobs and Deployments make."""
    templates = [each["spec"]["template"]["spec"] for each in objects if each["kind"] in {"Deployment", "Job"}]
    return [*templates, *(each["spec"] for each in objects if each["kind"] == "Pod")]


def access(objects: list[Object]) -> list[Object]:
    """Everything that gives or takes rights."""
    return [each for each in objects if each["apiVersion"].startswith("rbac.") or each["kind"] == "ServiceAccount"]


def snapshot(name: str, objects: list[Object]) -> None:
    """Compare with the committed file, which is what people review."""
    text = yaml.safe_dump_all(objects, sort_keys=True)
    file = SNAPSHOTS / f"{name}.yaml"
    assert file.exists(), f"no snapshot {name}; were it right, it would be:\n{text}"
    assert text == file.read_text(encoding="utf-8")


# --- rights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("rights-default", {}),
        ("rights-none", {"config": {"guard": {"allowed_kinds": ["none"]}}}),
        ("rights-pod-delete", {"config": {"guard": {"allowed_kinds": ["pod_delete"]}}, "targetNamespace": "dynamo"}),
        ("rights-processes", {"config": {"guard": {"allowed_kinds": ["process_kill", "process_stall"]}}}),
        ("rights-nodes", {"config": {"guard": {"allowed_kinds": ["node_cordon", "node_drain"]}}}),
        (
            "rights-by-selector",
            {
                "deployment": "",
                "config": {
                    "guard": {"allowed_kinds": ["scale"]},
                    "deployment": {"target": {"components": [{"component": "worker", "selector": "app=vllm"}]}},
                },
            },
        ),
    ],
)
def test_rights_are_exactly_what_the_kinds_need(helm: Helm, name: str, values: Object) -> None:
    given = ["endpoint=http://a:1", *([] if "deployment" in values else ["deployment=mocker"])]
    snapshot(name, access(helm.template(values, given=given)))


def test_the_default_install_asks_for_no_cluster_wide_right(helm: Helm) -> None:
    found = helm.template()
    assert kinds(found) == DEFAULT
    assert not CLUSTER_WIDE & set(kinds(found))
    for rule in one(found, "Role")["rules"]:
        assert "*" not in [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
    assert one(found, "RoleBinding")["roleRef"]["kind"] == "Role"


def test_the_guard_refuses_what_there_are_no_rights_for(helm: Helm, tmp_path: Path) -> None:
    found = helm.template({"config": {"guard": {"allowed_kinds": ["pod_delete"]}}})
    settings = load(config_of(found, tmp_path), {"AFTERSHOCK_TOKEN": "x"})
    assert settings.guard.allowed_kinds == ("pod_delete",)


def test_node_faults_are_off_until_they_are_named(helm: Helm, tmp_path: Path) -> None:
    by_default = load(config_of(helm.template(), tmp_path), {"AFTERSHOCK_TOKEN": "x"}).guard.allowed_kinds
    assert by_default is not None
    assert not {"node_cordon", "node_drain"} & set(by_default)
    assert {"pod_delete", "pod_evict", "container_restart"} <= set(by_default)
    named = helm.template({"config": {"guard": {"allowed_kinds": ["none", "node_cordon"]}}})
    wide = one(named, "ClusterRole")
    assert wide["rules"] == [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]}]
    assert one(named, "ClusterRoleBinding")["roleRef"]["name"] == wide["metadata"]["name"]
    env = one(named, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}} in env


def test_without_rbac_no_rights_are_made(helm: Helm) -> None:
    found = helm.template({"rbac": {"create": False}, "serviceAccount": {"create": False, "name": "mine"}})
    assert access(found) == []
    assert one(found, "Deployment")["spec"]["template"]["spec"]["serviceAccountName"] == "mine"


# --- configuration --------------------------------------------------------------------------------

LONG: Object = {
    "config": {
        "deployment": {"name": "prod", "endpoint": {"model": "m"}, "target": {"opt_in": "a/b=c"}},
        "probes": [{"name": "chat", "request_rate": 5}],
        "faults": {
            "my-stall": {"fault": {"kind": "process_stall", "component": "worker", "duration_seconds": 90}},
            "engine": {
                "fault": {"kind": "process_kill", "component": ["a", "b"], "instances": "index:1", "processes": "E"}
            },
            "worker": {"objectives": {"recovery_seconds": 20}},
        },
        "schedules": [{"name": "s", "faults": ["worker_pod"], "timing": {"every_seconds": 900}}],
        "traces": {"http_listen": "0.0.0.0:4318", "token_env": "AFTERSHOCK_TOKEN"},
        "run": {"revert_timeout_seconds": 30},
    }
}


@pytest.mark.parametrize("values", [{}, LONG], ids=["endpoint-and-deployment", "much"])
def test_the_service_finds_no_mistake_in_its_configuration(helm: Helm, tmp_path: Path, values: Object) -> None:
    file = config_of(helm.template(values), tmp_path)
    assert problems(file, {"AFTERSHOCK_TOKEN": "x"}) == []
    settings = load(file, {"AFTERSHOCK_TOKEN": "x"})
    target = settings.deployment.target
    assert isinstance(target, KubernetesTargetSpec)
    assert (target.namespace, target.graph_deployment) == ("watch", "mocker")
    assert settings.deployment.endpoint.url == "http://frontend.dynamo:8000"
    assert str(settings.data_dir) == "/data"
    assert settings.api.listen == "0.0.0.0:8600"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("config.gard.max_percent=50", "at '/config': additional properties 'gard' not allowed"),
        ("config.run.horizon=3", "at '/config/run': additional properties 'horizon' not allowed"),
        ("config.probes[0].name=a,config.probes[0].rate=3", "at '/config/probes/0': additional properties 'rate'"),
        ("config.run.hold_requests=0", "at '/config/run/hold_requests': minimum: got 0, want 1"),
        ("config.deployment.target.namespace=kube-system", "at '/config/deployment/target/namespace'"),
        (
            "config.faults.a.fault.kind=scael",
            "at '/config/faults/a/fault/kind': value must be one of 'container_restart'",
        ),
        ("config.faults.a.fault.kind=none,config.faults.a.fault.x=1", "at '/config/faults/a/fault': additional prop"),
        ("storage.sise=1Gi", "at '/storage': additional properties 'sise' not allowed"),
        ("nodeselector.a=b", "at '': additional properties 'nodeselector' not allowed"),
        ("config.guard.allowed_kinds={pod_explode}", 'there is no kind "pod_explode"; there is container_restart,'),
        ("storage.postgres.existingSecret=a,config.store.url=sqlite:////x", "config.store.url: storage.postgres"),
        ("storage.postgres.existingSecret=a,storage.existingClaim=b", "storage.existingClaim: storage.postgres"),
        ("serviceAccount.create=false", "serviceAccount.name: needed"),
        ("ingress.enabled=true", "ingress.host: needed"),
        ("endpoint=frontend:8000", 'endpoint: "frontend:8000" is not an address; http:// or https:// and a host'),
        ("endpoint=http://", 'endpoint: "http://" is not an address'),
        ("endpoint=http://a:1/v1", 'endpoint: "http://a:1/v1" must be without /v1, which every request adds'),
        ("config.deployment.endpoint.url=http://a:1/v1/", "must be without /v1"),
        ("deployment=My_Graph", 'deployment: "My_Graph" is no object\'s name'),
        ("targetNamespace=kube-system", "targetNamespace: kube-system holds the cluster itself and is never touched"),
        ("targetNamespace=kube_system", 'targetNamespace: "kube_system" is no namespace\'s name'),
    ],
)
def test_a_mistake_is_refused_with_its_path(helm: Helm, given: str, says: str) -> None:
    with pytest.raises(HelmRefused, match=re.escape(says)):
        helm.template(given=["endpoint=http://a:1", "deployment=mocker", given])


def test_nothing_is_allowed_in_a_namespace_of_the_cluster_itself(helm: Helm) -> None:
    """Nor by installing into one: the target's namespace is the release's where none is named."""
    for namespace in FORBIDDEN_NAMESPACES:
        with pytest.raises(HelmRefused, match=f"targetNamespace: {namespace} holds the cluster itself"):
            helm.template(more=("--namespace", namespace))


@pytest.mark.parametrize(("missing", "given"), [("endpoint", "deployment=m"), ("deployment", "endpoint=http://a:1")])
def test_what_is_needed_is_asked_for(helm: Helm, missing: str, given: str) -> None:
    with pytest.raises(HelmRefused, match=f"{missing}: "):
        helm.template(given=[given])


def test_a_change_of_the_configuration_rolls_the_pod(helm: Helm) -> None:
    def checksum(values: Object) -> str:
        meta = one(helm.template(values), "Deployment")["spec"]["template"]["metadata"]
        return str(meta["annotations"]["checksum/config"])

    assert checksum({}) == checksum({"service": {"port": 80}})
    assert checksum({}) != checksum({"config": {"run": {"hold_seconds": 11}}})


# --- the pod --------------------------------------------------------------------------------------


def test_every_pod_is_confined(helm: Helm) -> None:
    specs = pod_specs(helm.template())
    assert len(specs) == 3
    for spec in specs:
        security = spec["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"] is True
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert {"requests", "limits"} <= container["resources"].keys()
    assert [spec["automountServiceAccountToken"] for spec in specs] == [True, False, False]


def test_the_grace_is_longer_than_the_revert_may_take(helm: Helm) -> None:
    def grace(values: Object) -> int:
        return int(
            one(helm.template(values), "Deployment")["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
        )

    assert grace({}) >= 60
    assert grace({"config": {"run": {"revert_timeout_seconds": 100.5}}}) > 3 * 100


def test_two_pods_never_share_the_store(helm: Helm) -> None:
    spec = one(helm.template(), "Deployment")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_service_leads_to_the_monitor_alone_also_when_it_is_not_ready(helm: Helm) -> None:
    found = helm.template()
    service = one(found, "Service")["spec"]
    assert service["publishNotReadyAddresses"] is True
    labels = [one(found, "Deployment")["spec"]["template"]["metadata"]["labels"]]
    labels += [one(found, "Job")["spec"]["template"]["metadata"]["labels"], one(found, "Pod")["metadata"]["labels"]]
    assert [service["selector"].items() <= each.items() for each in labels] == [True, False, False]


def test_ports_of_the_trace_receiver_are_open(helm: Helm) -> None:
    found = helm.template(LONG)
    assert [one["name"] for one in one(found, "Service")["spec"]["ports"]] == ["http", "otlp-http"]
    policy = one(found, "NetworkPolicy")["spec"]["ingress"][0]
    assert [each["port"] for each in policy["ports"]] == ["http", "otlp-http"]


def test_an_existing_secret_and_claim_are_used(helm: Helm) -> None:
    found = helm.template({"token": {"existingSecret": "s", "key": "k"}, "storage": {"existingClaim": "c"}})
    assert not {"Secret", "PersistentVolumeClaim"} & set(kinds(found))
    spec = one(found, "Deployment")["spec"]["template"]["spec"]
    assert spec["volumes"][1]["persistentVolumeClaim"]["claimName"] == "c"
    assert spec["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "s", "key": "k"}


def test_a_postgresql_is_told_by_its_secret_and_needs_no_volume(helm: Helm, tmp_path: Path) -> None:
    found = helm.template({"storage": {"postgres": {"existingSecret": "db-app"}}})
    assert "PersistentVolumeClaim" not in kinds(found)
    spec = one(found, "Deployment")["spec"]["template"]["spec"]
    assert spec["volumes"][1] == {"name": "data", "emptyDir": {}}
    (url,) = (each for each in spec["containers"][0]["env"] if each["name"] == "AFTERSHOCK_STORE__URL")
    assert url["valueFrom"] == {"secretKeyRef": {"name": "db-app", "key": "uri"}}
    env = {"AFTERSHOCK_TOKEN": "x", "AFTERSHOCK_STORE__URL": "postgresql://u:p@db-rw/app"}
    assert load(config_of(found, tmp_path), env).store.url == "postgresql://u:p@db-rw/app"


def test_without_a_postgresql_nothing_is_said_of_one(helm: Helm) -> None:
    found = helm.template()
    assert "PersistentVolumeClaim" in kinds(found)
    names = [each["name"] for each in one(found, "Deployment")["spec"]["template"]["spec"]["containers"][0]["env"]]
    assert "AFTERSHOCK_STORE__URL" not in names


# --- clusters -------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_gets_apis_that_it_serves(helm: Helm, version: str) -> None:
    found = helm.template({"ingress": {"enabled": True, "host": "a.b"}}, more=("--kube-version", version))
    # All of these are served from 1.19 (Ingress, NetworkPolicy) or earlier until today.
    assert {each["apiVersion"] for each in found} == {
        *("v1", "apps/v1", "batch/v1", "networking.k8s.io/v1", "rbac.authorization.k8s.io/v1"),
    }


def test_an_older_cluster_is_refused(helm: Helm) -> None:
    with pytest.raises(HelmRefused, match="kubeVersion"):
        helm.template(more=("--kube-version", "1.19.16"))


def test_objects_of_the_prometheus_operator_come_where_it_is(helm: Helm) -> None:
    monitoring = {"ServiceMonitor", "PrometheusRule"}
    assert not monitoring & set(kinds(helm.template()))
    found = helm.template({"serviceMonitor": {"labels": {"release": "stack"}}}, more=OPERATOR)
    assert monitoring <= set(kinds(found))
    assert one(found, "ServiceMonitor")["metadata"]["labels"]["release"] == "stack"
    credentials = one(found, "ServiceMonitor")["spec"]["endpoints"][0]["authorization"]["credentials"]
    assert credentials["name"] == one(found, "Secret")["metadata"]["name"]
    off = {"serviceMonitor": {"create": "no"}, "prometheusRule": {"create": "no"}}
    assert not monitoring & set(kinds(helm.template(off, more=OPERATOR)))
    forced = {"serviceMonitor": {"create": "yes"}, "prometheusRule": {"create": "yes"}}
    assert monitoring <= set(kinds(helm.template(forced)))


def test_the_rules_carry_the_deployments_name_and_prometheus_templates_survive(helm: Helm) -> None:
    text = str(one(helm.template(more=OPERATOR), "PrometheusRule")["spec"])
    assert "the-deployment" not in text
    assert 'deployment="mocker"' in text
    assert "{{ $labels.fault }}" in text
    own: list[dict[str, Any]] = [{"name": "mine", "rules": []}]
    given = one(helm.template({"prometheusRule": {"groups": own}}, more=OPERATOR), "PrometheusRule")
    assert given["spec"] == {"groups": own}


def test_dashboards_are_the_committed_ones(helm: Helm) -> None:
    values = {"dashboards": {"create": True, "annotations": {"grafana_folder": "aftershock"}}}
    found = [
        each for each in helm.template(values) if each["kind"] == "ConfigMap" and "config.yaml" not in each["data"]
    ]
    repository = CHART.parents[1] / "dashboards" / "generated"
    made = {name: text for each in found for name, text in each["data"].items()}
    assert {name.removeprefix("aftershock-"): text.strip() for name, text in made.items()} == {
        path.name: path.read_text(encoding="utf-8").strip() for path in repository.glob("*.json")
    }
    assert all(each["metadata"]["labels"]["grafana_dashboard"] == "1" for each in found)


def test_helm_finds_nothing_to_complain_about(helm: Helm) -> None:
    said = helm.run("lint", "--strict", str(CHART), "--set", "endpoint=http://a:1", "--set", "deployment=m")
    assert "[WARNING]" not in said
    assert "[ERROR]" not in said
