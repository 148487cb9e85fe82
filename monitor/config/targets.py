"""How faults reach the deployment: settings of each kind of target."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from faults.targets.kubernetes import FORBIDDEN_NAMESPACES
from monitor.config.section import Section
from probes.spec import Name


class AttachSpec(Section):
    """Processes that aftershock did not start, found by their command line."""

    component: Name = Field(description="Name of the component that these processes are.")
    pattern: str = Field(min_length=1, description="Regular expression that the whole command line must contain.")


class LocalTargetSpec(Section):
    """Processes on this machine."""

    kind: Literal["local"] = "local"
    supervisor_dir: Path | None = Field(
        default=None,
        description="State folder of a running `aftershock supervise`, whose processes are the deployment.",
    )
    attach: tuple[AttachSpec, ...] = Field(default=(), description="Further components, found by pattern.")


class SelectedComponent(Section):
    """A component that is found by its pods' labels."""

    component: Name = Field(description="Name of the component that these pods are.")
    selector: str = Field(min_length=1, description="Label selector, such as `app=vllm,tier=worker`.")
    container: str | None = Field(
        default=None, description="The container that serves; by default the only one, or the one called main."
    )


class KubernetesTargetSpec(Section):
    """Pods of one namespace."""

    kind: Literal["kubernetes"]
    namespace: str = Field(description="The one namespace that faults may touch; never one of the cluster's own.")
    context: str | None = Field(default=None, description="Context of the kubeconfig; its current one by default.")
    kubeconfig: Path | None = Field(
        default=None, description="By default KUBECONFIG, else the pod's own service account, else ~/.kube/config."
    )
    graph_deployment: str | None = Field(
        default=None, description="Name of the DynamoGraphDeployment, whose services are the components."
    )
    components: tuple[SelectedComponent, ...] = Field(
        default=(), description="Components of any other server, or further ones, found by label selector."
    )
    opt_in: str | None = Field(
        default=None,
        description="Annotation that a pod must carry before it is touched, such as `aftershock/allowed=true`.",
    )
    timeout_seconds: float = Field(
        default=5.0, gt=0, le=60, description="Longest wait for one answer of the API server."
    )

    @field_validator("opt_in")
    @classmethod
    def _key_and_value(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"[^=\s]+=[^=\s]+", given):
            raise ValueError("must be KEY=VALUE, such as aftershock/allowed=true")
        return given

    @field_validator("graph_deployment")
    @classmethod
    def _name_of_an_object(cls, given: str | None) -> str | None:
        if given is not None and not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", given):
            raise ValueError("must be a Kubernetes name: lower-case letters, digits, hyphens and dots, at most 253")
        return given

    @field_validator("namespace")
    @classmethod
    def _not_the_clusters_own(cls, given: str) -> str:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", given):
            raise ValueError("must be lower-case letters, digits and hyphens, at most 63")
        if given in FORBIDDEN_NAMESPACES:
            raise ValueError(f"{given} holds the cluster itself and is never touched")
        return given

    @model_validator(mode="after")
    def _finds_something(self) -> KubernetesTargetSpec:
        if self.graph_deployment is None and not self.components:
            raise ValueError("names no pods; give graph_deployment, or components with their selectors")
        return self


def _kind_of_target(given: Any) -> str:
    """A target without a kind is a local one, as it was before there were others."""
    return str(given.get("kind", "local") if isinstance(given, dict) else getattr(given, "kind", "local"))


TargetSpec = Annotated[
    Annotated[LocalTargetSpec, Tag("local")] | Annotated[KubernetesTargetSpec, Tag("kubernetes")],
    Discriminator(_kind_of_target),
]
