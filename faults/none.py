"""The control run: inject nothing, measure everything."""

from __future__ import annotations

import random
import time
from typing import ClassVar, Literal

from faults.base import Evidence, Facts, Fault, Instance, Layer, Receipt, RevertResult, Target


class NoFault(Fault):
    """Touches nothing. Whatever a run finds here is a false finding."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.NONE,
        heals="nothing to heal",
        longest_seconds=0.0,
        privilege="none",
        fools="No layer notices anything: an impact in a control run is noise of the deployment or of the measurement.",
    )
    kind: Literal["none"] = "none"

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        return ()

    async def inject(self, receipt: Receipt, target: Target) -> None:
        return None

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        return Evidence(summary="nothing injected (control run)", at_monotonic_ns=time.monotonic_ns())

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        return RevertResult(
            outcome="nothing_to_do", summary="nothing was injected", at_monotonic_ns=time.monotonic_ns()
        )
