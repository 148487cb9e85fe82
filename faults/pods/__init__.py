"""Faults on pods and on what makes them: Kubernetes only."""

from faults.pods.delete import PodDelete
from faults.pods.restart import RolloutRestart
from faults.pods.scale import Scale

__all__ = ["PodDelete", "RolloutRestart", "Scale"]
