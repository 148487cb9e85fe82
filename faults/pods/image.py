"""An image that cannot be pulled: the rollout that everybody fears."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from faults.base import Facts, Instance, Layer
from faults.kube.api import Json
from faults.kube.pods import PodView
from faults.pods.template import LONGEST_SECONDS, PERMISSIONS, TemplateFault, may_be_missing

REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "RegistryUnavailable"})


class ImagePull(TemplateFault):
    """Names an image in a workload's pod template that no registry has."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.CONTROL_PLANE,
        heals="by revert",
        longest_seconds=LONGEST_SECONDS,
        privilege="Kubernetes rights only",
        fools="Everybody sees a real rollout that gets nowhere: new pods wait for an image. How many old ones go is "
        "up to the workload's own strategy; with Recreate it is all of them.",
        permissions=PERMISSIONS,
    )
    kind: Literal["image_pull"] = "image_pull"
    image: str = Field(
        default="registry.invalid/aftershock",
        pattern=r"^[a-z0-9][-._/a-z0-9]*$",
        description="An image without a tag that nobody has; the run's id becomes its tag.",
    )

    @property
    def _fields(self) -> tuple[str, ...]:
        return ("image",)

    def _wanted(self, container: Json, run_id: str) -> Mapping[str, Any]:
        return {"image": f"{self.image}:{run_id}"}

    def _holds(self, container: Json, before: Mapping[str, Any], run_id: str) -> bool:
        return container.get("image") == f"{self.image}:{run_id}"

    def _told(self, pod: PodView) -> str | None:
        if pod.waiting not in REASONS:
            return None
        return f"new pod {pod.pod.name} cannot pull {pod.image} ({pod.waiting})"

    def _at_stake(self, there: Sequence[Instance], raw: Json) -> Sequence[Instance]:
        most = max(1, may_be_missing(raw))
        # A StatefulSet begins with its last pod; which ones a Deployment gives up is its controller's choice.
        return there[-1:] if raw["kind"] == "StatefulSet" else there[:most]
