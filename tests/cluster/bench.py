"""A target on a component of small pods, and the steps of a run on it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from faults.base import Evidence, Fault, PlanContext, Receipt, RevertResult
from faults.kube.api import Api
from faults.kube.graph import Component
from faults.targets.kubernetes import KubernetesTarget, Selection
from monitor.catalogue import fault_of
from tests.cluster.small import Small
from tests.cluster.world import Cluster


class Bench:
    """A target on a component of small pods, and the steps of a run on it."""

    def __init__(self, cluster: Cluster, small: Small, folder: Path) -> None:
        self.cluster, self.small, self.folder = cluster, small, folder
        self._runs = 0

    def target(self) -> KubernetesTarget:
        component = Component("worker", "worker", (self.small.selector,))
        selection = Selection(self.small.namespace, components=(component,))
        return KubernetesTarget("small", selection, Api(kubeconfig=self.cluster.kubeconfig))

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[KubernetesTarget]:
        target = self.target()
        try:
            yield target
        finally:
            await target.close()

    async def plan(self, fault: Fault, target: KubernetesTarget) -> Receipt:
        instances = await fault.resolve(target, random.Random(1))  # noqa: S311 - reproducible choice
        self._runs += 1
        folder = self.folder / f"run-{self._runs}"
        folder.mkdir()
        context = PlanContext(f"{self.folder.name}-{self._runs}", time.time_ns(), time.monotonic_ns(), folder)
        return fault.plan(instances, context)

    async def struck(self, fault: Fault, target: KubernetesTarget) -> tuple[Receipt, Evidence]:
        """Resolved, injected and verified."""
        receipt = await self.plan(fault, target)
        await fault.inject(receipt, target)
        return receipt, await fault.verify(receipt, target)

    def strike(self, fault: Fault) -> tuple[Receipt, Evidence]:
        """The same with a target of its own."""

        async def inner() -> tuple[Receipt, Evidence]:
            async with self.opened() as target:
                return await self.struck(fault, target)

        return asyncio.run(inner())

    def put_back(self, receipt: Receipt, times: int = 1) -> list[RevertResult]:
        """Reverted by somebody who has the receipt and nothing else."""

        async def inner() -> list[RevertResult]:
            async with self.opened() as target:
                fault = fault_of(Receipt.model_validate_json(receipt.model_dump_json()))
                return [await fault.revert(receipt, target) for _ in range(times)]

        return asyncio.run(inner())

    def pod(self) -> Any:
        return self.small.pods()[0]

    def status(self) -> Any:
        return self.pod().status.container_statuses[0]

    def process_state(self, pid: int) -> str:
        """State letter of a process of the pod, by a look from inside."""

        async def look() -> str:
            async with self.opened() as target:
                (instance,) = await target.instances("worker")
                assert instance.pod is not None
                session = await target.containers.run(instance.pod, ["list"], 10)
                found = {line.values["pid"]: line.values["state"] for line in session.all("process")}
                return str(found.get(pid, "gone"))

        return asyncio.run(look())
