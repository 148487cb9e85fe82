"""Faults on nodes of the cluster; they need rights beyond a namespace, and touch no other workload's pods."""

from faults.nodes.cordon import NodeCordon
from faults.nodes.drain import NodeDrain

__all__ = ["NodeCordon", "NodeDrain"]
