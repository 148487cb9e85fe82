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


class ConfiguredEntry(Frozen):
    """An entry of the configuration: a new fault, or objectives for a built-in one of the same name."""

    fault: AnyFault | None = Field(
        default=None, description="The kind and its parameters; a built-in entry of the same name needs none."
    )
    objectives: Objectives = Field(default=Objectives(), description="Limits that each run must meet.")
    description: str = Field(default="", description="One sentence for people.")
