"""Evict pods: the polite end, which a PodDisruptionBudget may refuse."""

from __future__ import annotations

from typing import ClassVar, Literal

from faults.base import Facts, Layer, Pod
from faults.kube.budgets import RIGHT, evict
from faults.kube.errors import ClusterError
from faults.pods.leaving import LeavingPodsFault, why_not_evicted
from faults.targets.kubernetes import KubernetesTarget


class PodEvict(LeavingPodsFault):
    """Evicts the picked pods through the API, as a drain, an autoscaler or an upgrade of nodes does."""

    what: ClassVar[str] = "the eviction"
    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTROL_PLANE,
        heals="by itself",
        longest_seconds=0.0,
        privilege="Kubernetes rights only",
        fools="Everybody sees a real end with the pod's own grace, and its controller makes a new one. "
        "A PodDisruptionBudget that says no is obeyed: then the run is not_injected.",
        permissions=("get pods", "list pods", "watch pods", "create pods/eviction", RIGHT),
    )
    kind: Literal["pod_evict"] = "pod_evict"

    async def _remove(self, target: KubernetesTarget, pod: Pod) -> None:
        await evict(target.api, pod)

    async def _why_not(self, target: KubernetesTarget, pod: Pod, error: ClusterError) -> str:
        return await why_not_evicted(target, pod, error)
