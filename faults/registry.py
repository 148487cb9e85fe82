"""The explicit list of fault kinds. A kind that is not here does not exist."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from faults.nodes import NodeCordon, NodeDrain
from faults.none import NoFault
from faults.pods import ContainerRestart, ImagePull, PodDelete, PodEvict, ResourceSqueeze, RolloutRestart, Scale
from faults.process import ProcessKill, ProcessStall

AnyFault = Annotated[
    NoFault
    | ProcessKill
    | ProcessStall
    | ContainerRestart
    | PodDelete
    | PodEvict
    | RolloutRestart
    | Scale
    | ImagePull
    | ResourceSqueeze
    | NodeCordon
    | NodeDrain,
    Field(discriminator="kind"),
]
"""Any fault of this repository, told apart by `kind`."""
