"""A catalogue entry: a named fault with its objectives."""

from __future__ import annotations

from pydantic import Field

from faults.base import Frozen, Objectives
from faults.registry import AnyFault


class FaultEntry(Frozen):
    """What the configuration and the built-in catalogue hold under a fault's name."""

    fault: AnyFault = Field(description="The kind and its parameters.")
    objectives: Objectives = Field(default=Objectives(), description="Limits that each run must meet.")
    description: str = Field(default="", description="One sentence for people.")
