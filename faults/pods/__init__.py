"""Faults on pods and on what makes them: Kubernetes only."""

from faults.pods.container import ContainerRestart
from faults.pods.delete import PodDelete
from faults.pods.evict import PodEvict
from faults.pods.image import ImagePull
from faults.pods.restart import RolloutRestart
from faults.pods.scale import Scale
from faults.pods.squeeze import ResourceSqueeze

__all__ = ["ContainerRestart", "ImagePull", "PodDelete", "PodEvict", "ResourceSqueeze", "RolloutRestart", "Scale"]
