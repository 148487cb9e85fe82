"""The local target: processes on this machine, of a supervisor or attached to by pattern."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from faults import procfs
from faults.base import Exit, FaultError, Instance, NoInstances, Process, Target
from faults.helper import stall as stall_helper
from faults.procfs import Stat
from faults.select import natural_key, shortened
from faults.targets.state import InstanceInfo, StateReader

OWN_PROGRAM = "aftershock"


class LocalTarget(Target):
    """Sees the instances of a running supervisor and the processes that match the attach patterns.

    An attached process has no name of its own. It gets `COMPONENT-N` when it is first seen, in the order of
    pids, and keeps it; a new process takes the lowest name whose process has ended. Where several ended at
    once, which one a new process stands for is not known, and the lowest name is a convention.
    """

    def __init__(self, name: str, supervisor_dir: Path | None = None, attach: Sequence[tuple[str, str]] = ()) -> None:
        """`attach` holds pairs of component and regular expression. Raises `FaultError` for a bad expression."""
        self._name = name
        self._reader = StateReader(supervisor_dir.absolute()) if supervisor_dir is not None else None
        self._attach = [(component, _compiled(component, pattern)) for component, pattern in attach]
        self._attached: dict[str, dict[str, Process]] = {component: {} for component, _ in attach}

    @property
    def name(self) -> str:
        return self._name

    async def components(self) -> list[str]:
        supervised = [info.component for info in self._supervised()]
        return list(dict.fromkeys([*supervised, *self._attached]))

    async def instances(self, component: str) -> list[Instance]:
        infos = self._supervised()
        known = dict.fromkeys([*(info.component for info in infos), *self._attached])
        if component not in known:
            raise NoInstances(f"no component {component} in {self._name}; there is {shortened(known)}")
        found = [
            Instance(component=component, name=info.name, process=process)
            for info in infos
            if info.component == component and (process := info.process) is not None
        ]
        found += await self._attached_instances(component)
        return sorted(found, key=lambda one: natural_key(one.name))

    async def exit_of(self, process: Process) -> Exit | None:
        return self._reader.exit_of(process) if self._reader is not None else None

    async def replacement_of(self, instance: Instance) -> Instance | None:
        try:
            live = await self.instances(instance.component)
        except NoInstances:
            return None
        found = next((one for one in live if one.name == instance.name), None)
        if found is None or found.process is None or instance.process is None:
            return found
        return None if _key(found.process) == _key(instance.process) else found

    async def ready(self, instance: Instance) -> bool | None:
        if instance.component in self._attached or self._reader is None:
            return None
        found = next((info for info in self._supervised() if info.name == instance.name), None)
        if found is None or instance.process is None:
            return None
        return found.pid == instance.process.pid and found.state == "ready"

    async def close(self) -> None:
        return None

    def _supervised(self) -> list[InstanceInfo]:
        return self._reader.instances() if self._reader is not None else []

    async def _attached_instances(self, component: str) -> list[Instance]:
        regexes = [regex for name, regex in self._attach if name == component]
        if not regexes:
            return []
        # A look at every process of a large machine takes long enough to hold up the rest of the service.
        live = await asyncio.to_thread(_scan, regexes)
        names = self._attached[component]
        running = {_key(one): one for one in live}
        named = {_key(one) for one in names.values()}
        free = [name for name, one in names.items() if _key(one) not in running and not procfs.is_alive(one)]
        free.sort(key=natural_key)
        for process in live:
            if _key(process) not in named:
                names[free.pop(0) if free else f"{component}-{len(names)}"] = process
        return [
            Instance(component=component, name=name, process=running[_key(process)])
            for name, process in names.items()
            if _key(process) in running
        ]


def _key(process: Process) -> tuple[int, int]:
    return process.pid, process.start_ticks


def _compiled(component: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise FaultError(f"attach pattern of {component}: {pattern!r} is not a regular expression: {error}") from None


def is_own_program(arguments: Sequence[str]) -> bool:
    """Whether a command line is one of ours: its own arguments may well hold the pattern that is looked for."""
    words = arguments[:4]
    own = {"faults.targets.supervise", stall_helper.__file__}
    return any(Path(word).name == OWN_PROGRAM for word in words[:2]) or not own.isdisjoint(words)


def _scan(regexes: Sequence[re.Pattern[str]]) -> list[Process]:
    """Main processes that match, of all processes but our own: the monitor, what started it, what it started."""
    processes = procfs.table()
    me = os.getpid()
    ours = {me, *procfs.ancestors(me, processes), *procfs.descendants(me, processes)}
    candidates = [found for pid in sorted(set(processes) - ours) if (found := procfs.identify(pid))]
    matches = [
        one
        for one in candidates
        if any(regex.search(one.command) for regex in regexes) and not is_own_program(procfs.arguments(one.pid))
    ]
    return roots(matches, processes)


def roots(matches: Sequence[Process], processes: Mapping[int, Stat]) -> list[Process]:
    """One process an instance: children that match like their parent belong to it, and launchers are left out."""
    pids = {one.pid for one in matches}
    real = {
        pid for pid in pids if not (procfs.is_launcher(pid) and pids.intersection(procfs.descendants(pid, processes)))
    }
    return [one for one in matches if one.pid in real and real.isdisjoint(procfs.ancestors(one.pid, processes))]
