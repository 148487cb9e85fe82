"""From a component to the very processes that a fault acts on.

Without a `processes` pattern the instance's main process is taken. A main process that is only a launcher
(a shell, `uv run`, `tini`, see `procfs.LAUNCHERS`) with one child is not what a user means, so the choice
descends to that child, as often as needed. A launcher with several children leaves it open which one
matters: that is refused, and a pattern must say. With a pattern, the main process and everything below it
are looked at, and a launcher that only passes a matching command line on is left out.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from faults import procfs
from faults.base import Fault, Instance, NoInstances, Process, Target
from faults.process import containers
from faults.procfs import Stat
from faults.select import ProcessSelector, Selector, natural_key, shortened
from faults.targets.kubernetes import KubernetesTarget, kubernetes


def _names(given: object) -> object:
    if isinstance(given, str):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given


Components = Annotated[tuple[str, ...], BeforeValidator(_names), Field(min_length=1)]
"""One name, or alternatives of which the first that the deployment has is taken."""


class ProcessFault(Fault):
    """What the faults on processes share: how they pick."""

    component: Components = Field(
        description="Component to break; several names (or `a,b`) mean the first that the deployment has."
    )
    instances: Selector = Field(default=Selector(), description="Which of its instances, by name.")
    processes: ProcessSelector | None = Field(
        default=None, description="Which processes inside each instance; its main process by default."
    )

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        component = await self._component_of(target)
        there = await target.instances(component)
        live = sorted((one for one in there if one.process or one.pod), key=lambda one: natural_key(one.name))
        if not live and isinstance(target, KubernetesTarget):
            raise NoInstances(await target.why_none(component))
        if not live:
            names = shortened(one.name for one in there)
            raise NoInstances(f"component {component} has no running instance; there is {names}")
        picked = self.instances.apply(live, rng)
        if not picked:
            names = shortened(one.name for one in live)
            raise NoInstances(f"instances {self.instances} of {component} matches nothing; there is {names}")
        if containers.in_pods(picked):
            return await containers.with_processes(picked, self.processes, kubernetes(target), rng)
        return self._with_processes(picked, rng)

    async def _component_of(self, target: Target) -> str:
        known = await target.components()
        for name in self.component:
            if name in known:
                return name
        wanted = " or ".join(self.component)
        raise NoInstances(f"no component {wanted} in {target.name}; there is {shortened(known)}")

    def _with_processes(self, picked: tuple[Instance, ...], rng: random.Random) -> tuple[Instance, ...]:
        table = procfs.table()
        found = []
        for instance in picked:
            if self.processes is None:
                processes: tuple[Process, ...] = (real_process(instance, table),)
            else:
                processes = matching_processes(instance, self.processes, table, rng)
            found.append(instance.model_copy(update={"processes": processes}))
        return tuple(found)


def main_process(instance: Instance) -> Process:
    """The instance's main process, as it is now; raises `NoInstances` when it is gone."""
    if instance.process is None or not procfs.is_alive(instance.process):
        raise NoInstances(f"{instance.name} has no running process")
    return instance.process


def real_process(instance: Instance, table: Mapping[int, Stat]) -> Process:
    """The main process, or what its launchers started; raises `NoInstances` where that is not clear."""
    current = main_process(instance)
    while procfs.is_launcher(current.pid):
        below = [child for pid in procfs.children(current.pid, table) if (child := procfs.identify(pid))]
        if not below:
            return current
        if len(below) > 1:
            names = shortened(f"{one.pid} ({one.command})" for one in below)
            raise NoInstances(
                f"{instance.name}: its process {current.pid} only launches others ({names}); "
                "set processes to a pattern that says which"
            )
        current = below[0]
    return current


def matching_processes(
    instance: Instance, selector: ProcessSelector, table: Mapping[int, Stat], rng: random.Random
) -> tuple[Process, ...]:
    """Picked processes of an instance, by pid; raises `NoInstances` with what is there instead."""
    main = main_process(instance)
    pids = sorted({main.pid, *procfs.descendants(main.pid, table)})
    matches = without_launchers(procfs.matching(pids, selector.pattern), table)
    picked = selector.pick.apply(matches, rng)
    if not picked:
        seen = matches or [one for pid in pids if (one := procfs.identify(pid))]
        wanted = f"{selector.pattern!r}" + (f" ({selector.pick})" if matches else "")
        names = shortened(f"{one.pid} ({one.command})" for one in seen)
        raise NoInstances(f"{instance.name}: no process matches {wanted}; there is {names}")
    return picked


def without_launchers(matches: list[Process], table: Mapping[int, Stat]) -> list[Process]:
    """Leave out launchers that have a match below them: the command line is only passed on."""
    pids = {one.pid for one in matches}
    return [
        one
        for one in matches
        if not (procfs.is_launcher(one.pid) and pids.intersection(procfs.descendants(one.pid, table)))
    ]


def picked_processes(instances: tuple[Instance, ...]) -> list[Process]:
    """All processes that a receipt names."""
    return [process for instance in instances for process in instance.processes]


def choice_details(instances: tuple[Instance, ...]) -> tuple[str, ...]:
    """Which process was taken where it is not the main one, for the evidence."""
    lines: list[str] = []
    for instance in instances:
        for process in instance.processes:
            main = instance.process
            if main is not None and main.pid != process.pid:
                lines.append(
                    f"{instance.name}: pid {process.pid} ({process.command}), inside main process {main.pid} ({main.command})"
                )
    return tuple(lines)


def each(values: Mapping[int, Any]) -> str:
    """`pid 1 X, pid 2 Y` for a few processes."""
    return shortened((f"pid {pid} {value}" for pid, value in values.items()), most=4, width=80)
