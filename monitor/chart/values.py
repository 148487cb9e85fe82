"""The chart's values, beside `config`: the source of values.schema.json and of the table in the chart's README."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

Object = dict[str, Any]
When = Literal["auto", "yes", "no"]
"""`auto`: when the cluster knows the kind."""


class Group(BaseModel):
    """Base of all values: unknown keys refused, names as helm users write them."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)


class ImageValues(Group):
    """The container image."""

    repository: str = Field(default="aftershock", description="Image without its tag.")
    tag: str = Field(default="", description="By default the chart's appVersion.")
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(default="IfNotPresent", description="When to pull.")
    pull_secrets: list[str] = Field(default=[], description="Names of pull Secrets.")


class ServiceAccountValues(Group):
    """The identity that acts in the cluster."""

    create: bool = Field(default=True, description="False uses one that is there.")
    name: str = Field(default="", description="By default the release's full name.")
    annotations: dict[str, str] = Field(default={}, description="Annotations of the account.")


class RbacValues(Group):
    """Rights in the target namespace."""

    create: bool = Field(
        default=True,
        description="Make a Role with exactly the rights of the kinds in config.guard.allowed_kinds, and bind it. Only "
        "where that list names a kind that acts on nodes (never by default), also a ClusterRole.",
    )


class TokenValues(Group):
    """The API's bearer token."""

    existing_secret: str = Field(
        default="", description="Secret that holds it; by default one is made, and kept over upgrades."
    )
    key: str = Field(default="token", description="Key in the Secret.")


class PostgresValues(Group):
    """A PostgreSQL that is there."""

    existing_secret: str = Field(
        default="",
        description="Secret with its URL, such as postgresql://user:password@host/database. No volume is made then.",
    )
    key: str = Field(default="uri", description="Key in the Secret.")


class StorageValues(Group):
    """Where results are kept: SQLite on a volume of its own, or a PostgreSQL."""

    enabled: bool = Field(
        default=True, description="False keeps results in the pod alone; they go with it, receipts of faults included."
    )
    size: str = Field(default="5Gi", description="Size of the volume.")
    storage_class: str = Field(default="", description="By default the cluster's own.")
    existing_claim: str = Field(default="", description="A claim that is there; it outlives the release.")
    postgres: PostgresValues = Field(default=PostgresValues(), description="A PostgreSQL instead of the volume.")


class ServiceValues(Group):
    """The Service in front of the API."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = Field(default="ClusterIP", description="Its type.")
    port: int = Field(default=8600, ge=1, le=65535, description="Its port.")
    annotations: dict[str, str] = Field(default={}, description="Annotations of the Service.")


class IngressValues(Group):
    """An address from outside; the API wants its token there too."""

    enabled: bool = Field(default=False, description="Make an Ingress.")
    class_name: str = Field(default="", description="Ingress class.")
    host: str = Field(default="", description="Host name; needed when enabled.")
    tls_secret: str = Field(default="", description="Secret with the host's certificate.")
    annotations: dict[str, str] = Field(default={}, description="Annotations of the Ingress.")


class ServiceMonitorValues(Group):
    """How a Prometheus operator finds /metrics."""

    create: When = Field(default="auto", description="auto: when the cluster has monitoring.coreos.com/v1.")
    interval: str = Field(default="15s", description="Scrape interval; it bounds what dashboards can resolve.")
    scrape_timeout: str = Field(default="10s", description="Must be below interval.")
    labels: dict[str, str] = Field(
        default={}, description="Labels that the Prometheus selects by; kube-prometheus-stack wants `release: NAME`."
    )


class PrometheusRuleValues(Group):
    """Recording and alerting rules for a Prometheus operator."""

    create: When = Field(default="auto", description="auto: when the cluster has monitoring.coreos.com/v1.")
    labels: dict[str, str] = Field(default={}, description="Labels that the Prometheus selects by, as above.")
    groups: list[Object] = Field(
        default=[],
        description="Groups of `aftershock rules build -c config.yaml`; by default those of the default settings.",
    )


class DashboardValues(Group):
    """Dashboards as ConfigMaps, as the sidecar of Grafana's chart finds them."""

    create: bool = Field(default=False, description="Make them.")
    labels: dict[str, str] = Field(
        default={"grafana_dashboard": "1"}, description="Labels that the sidecar selects by."
    )
    annotations: dict[str, str] = Field(default={}, description="Annotations, such as `grafana_folder: aftershock`.")


class NetworkPolicyValues(Group):
    """Who may connect to the API. What aftershock connects to stays open: it is cut off from nothing by itself."""

    create: bool = Field(default=True, description="Make a NetworkPolicy.")
    ingress_from: list[Object] = Field(
        default=[], description="Peers that may connect; by default everybody, for the token guards the API."
    )


class HookValues(Group):
    """The hook before `helm uninstall`, which reverts everything."""

    enabled: bool = Field(default=True, description="False uninstalls at once; SIGTERM still reverts.")
    timeout_seconds: int = Field(
        default=120, ge=10, le=3600, description="Longest wait; after it the uninstall fails and nothing is removed."
    )


class HelmTestValues(Group):
    """`helm test`."""

    timeout_seconds: int = Field(default=280, ge=30, le=3600, description="Longest wait for the control run.")


class Values(Group):
    """Everything but `config`."""

    endpoint: str = Field(default="", description="Base address of the deployment's OpenAI-compatible API.")
    model: str = Field(default="", description="Model to ask for; by default the only one that the endpoint lists.")
    deployment: str = Field(default="", description="Name of the DynamoGraphDeployment that faults may touch.")
    target_namespace: str = Field(default="", description="Its namespace; by default the release's.")
    name_override: str = Field(default="", description="Instead of the chart's name in object names.")
    fullname_override: str = Field(default="", description="Instead of release and chart name in object names.")
    replicas: int = Field(
        default=1,
        ge=1,
        le=5,
        description="One leads, the others stand by and take over; more than one needs storage.postgres.existingSecret.",
    )
    image: ImageValues = Field(default=ImageValues(), description="The container image.")
    service_account: ServiceAccountValues = Field(default=ServiceAccountValues(), description="The identity.")
    rbac: RbacValues = Field(default=RbacValues(), description="Rights in the target namespace.")
    token: TokenValues = Field(default=TokenValues(), description="The API's bearer token.")
    storage: StorageValues = Field(default=StorageValues(), description="Where results are kept.")
    service: ServiceValues = Field(default=ServiceValues(), description="The Service in front of the API.")
    ingress: IngressValues = Field(default=IngressValues(), description="An address from outside.")
    service_monitor: ServiceMonitorValues = Field(default=ServiceMonitorValues(), description="Scraping.")
    prometheus_rule: PrometheusRuleValues = Field(default=PrometheusRuleValues(), description="Rules.")
    dashboards: DashboardValues = Field(default=DashboardValues(), description="Dashboards.")
    network_policy: NetworkPolicyValues = Field(default=NetworkPolicyValues(), description="Who may connect.")
    pre_delete: HookValues = Field(default=HookValues(), description="The hook before an uninstall.")
    helm_test: HelmTestValues = Field(default=HelmTestValues(), description="`helm test`.")
    resources: Object = Field(
        default={"requests": {"cpu": "500m", "memory": "1Gi"}, "limits": {"memory": "3Gi"}},
        description="Each probe takes about 1 GiB. No CPU limit: throttling would look like a slow deployment.",
    )
    env: list[Object] = Field(
        default=[], description="Further environment variables, such as API keys by secretKeyRef."
    )
    pod_annotations: dict[str, str] = Field(default={}, description="Further annotations of the pod.")
    pod_labels: dict[str, str] = Field(default={}, description="Further labels of the pod.")
    node_selector: dict[str, str] = Field(default={}, description="Nodes that it may run on.")
    tolerations: list[Object] = Field(default=[], description="Taints that it tolerates; none by default.")
    affinity: Object = Field(
        default={}, description="By default it keeps away from the target's nodes where it can (preferred)."
    )
