"""Delete pods, and prove that they are gone and what stands where they stood."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from faults.base import Facts, Layer, Pod
from faults.kube.budgets import RIGHT
from faults.kube.errors import Request
from faults.pods.leaving import LeavingPodsFault
from faults.targets.kubernetes import KubernetesTarget


class PodDelete(LeavingPodsFault):
    """Deletes the picked pods, by UID."""

    what: ClassVar[str] = "the delete"
    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTAINER,
        heals="by itself",
        longest_seconds=0.0,
        privilege="Kubernetes rights only",
        fools="Everybody sees a real end: the containers get SIGTERM and then SIGKILL (with force at once), the pod "
        "leaves its Services, and its controller makes a new one under a new name.",
        permissions=("get pods", "list pods", "watch pods", "delete pods", RIGHT),
    )
    kind: Literal["pod_delete"] = "pod_delete"
    force: bool = Field(default=False, description="Without any grace: the pod's object goes at once.")
    grace_seconds: int | None = Field(
        default=None, ge=1, le=3600, description="Time between SIGTERM and SIGKILL; by default the pod's own."
    )
    respect_pdb: bool = Field(
        default=True,
        description="Refuse when a PodDisruptionBudget would be broken, of which a delete by itself knows nothing.",
    )

    @property
    def respects_budgets(self) -> bool:
        return self.respect_pdb

    async def _remove(self, target: KubernetesTarget, pod: Pod) -> None:
        grace = 0 if self.force else self.grace_seconds
        options = {"preconditions": {"uid": pod.uid}} | ({} if grace is None else {"gracePeriodSeconds": grace})
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        request = Request("delete", "pods", pod.namespace, pod.name)
        await target.api.ask(request, "DELETE", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}", body=body)
