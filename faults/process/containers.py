"""Faults on processes inside containers: which processes, and how they are reached and watched."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from faults import procfs
from faults.base import FaultError, Instance, NoInstances, NotInjected, Pod, Process, Receipt
from faults.kube.exec import Line, Session
from faults.select import ProcessSelector, shortened
from faults.targets.kubernetes import KubernetesTarget, pod_of

LIST_SECONDS = 15.0
PERMISSIONS = ("get pods", "list pods", "watch pods", "get pods/exec", "create pods/exec")
"""What faults on processes need where the processes are in pods."""
LOG_FILE = "container.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """One process of a container, by its own numbers."""

    process: Process
    parent: int


def in_pods(instances: Sequence[Instance]) -> bool:
    """Whether what was picked are pods."""
    return any(one.pod is not None for one in instances)


async def with_processes(
    picked: Sequence[Instance], selector: ProcessSelector | None, target: KubernetesTarget, rng: random.Random
) -> tuple[Instance, ...]:
    """The instances with the processes that are meant. Raises `NoInstances`, or `FaultError` when nobody tells."""
    found = []
    for instance in picked:
        rows = await _table(target, pod_of(instance))
        main = _main(instance, rows)
        chosen = (_real(instance, main, rows),) if selector is None else _matching(instance, selector, rows, rng)
        found.append(instance.model_copy(update={"process": main.process, "processes": chosen}))
    return tuple(found)


async def with_first(picked: Sequence[Instance], target: KubernetesTarget) -> tuple[Instance, ...]:
    """The instances with the process that each container ends with, launcher or not."""
    found = []
    for instance in picked:
        first = _main(instance, await _table(target, pod_of(instance))).process
        found.append(instance.model_copy(update={"process": first, "processes": (first,)}))
    return tuple(found)


async def _table(target: KubernetesTarget, pod: Pod) -> dict[int, Row]:
    session = await target.containers.run(pod, ["list"], LIST_SECONDS)
    if session.first("listed") is None:
        raise FaultError(
            f"the processes of {pod.name}/{pod.container} cannot be listed: {refusal(session) or session.ended} {session.stderr}".rstrip()
        )
    rows = {}
    for line in session.all("process"):
        one = line.values
        process = Process(pid=one["pid"], start_ticks=one["ticks"], command=one["command"])
        rows[process.pid] = Row(process, one["parent"])
    return rows


def _main(instance: Instance, rows: Mapping[int, Row]) -> Row:
    """The container's first process; with a shared pid namespace, the first of this container."""
    tops = sorted(pid for pid, row in rows.items() if row.parent not in rows)
    if not tops:
        raise NoInstances(f"{instance.name} has no process")
    return rows[tops[0]]


def _below(pid: int, rows: Mapping[int, Row]) -> list[int]:
    children = [one for one, row in rows.items() if row.parent == pid]
    return sorted({*children, *(deeper for child in children for deeper in _below(child, rows))})


def _is_launcher(row: Row) -> bool:
    return procfs.launches((row.process.command.split() or [""])[0])


def _real(instance: Instance, main: Row, rows: Mapping[int, Row]) -> Process:
    """The main process, or what its launchers started; as `selection.real_process`."""
    current = main
    while _is_launcher(current):
        below = [row for row in rows.values() if row.parent == current.process.pid]
        if not below:
            return current.process
        if len(below) > 1:
            names = shortened(f"{row.process.pid} ({row.process.command})" for row in below)
            raise NoInstances(
                f"{instance.name}: its process {current.process.pid} only launches others ({names}); "
                "set processes to a pattern that says which"
            )
        current = below[0]
    return current.process


def _matching(
    instance: Instance, selector: ProcessSelector, rows: Mapping[int, Row], rng: random.Random
) -> tuple[Process, ...]:
    regex = re.compile(selector.pattern)
    matches = {pid: row for pid, row in sorted(rows.items()) if regex.search(row.process.command)}
    # A launcher that only passes a matching command line on is not what is meant.
    real = [
        row.process
        for pid, row in matches.items()
        if not (_is_launcher(row) and matches.keys() & set(_below(pid, rows)))
    ]
    picked = selector.pick.apply(real, rng)
    if not picked:
        seen = real or [row.process for row in rows.values()]
        wanted = f"{selector.pattern!r}" + (f" ({selector.pick})" if real else "")
        names = shortened(f"{one.pid} ({one.command})" for one in seen)
        raise NoInstances(f"{instance.name}: no process matches {wanted}; there is {names}")
    return picked


def words_of(processes: Sequence[Process]) -> list[str]:
    """Processes as `inside.py` takes them."""
    return [f"{one.pid}:{one.start_ticks}" for one in processes]


async def must_be_whole(target: KubernetesTarget, instances: Sequence[Instance]) -> None:
    """The very containers that were picked, running. Raises `NotInjected`."""
    for instance in instances:
        pod = pod_of(instance)
        target.check_receipt(pod)
        found = await target.look(pod)
        if found is None:
            raise NotInjected(f"pod {pod.name} was gone before anything was sent")
        if found.terminating:
            raise NotInjected(f"pod {pod.name} was terminating already")
        if found.pod.container_id != pod.container_id:
            raise NotInjected(
                f"container {pod.container} of {pod.name} was restarted by somebody else before anything was sent"
            )


def keep_lines(receipt: Receipt, pod: Pod, session: Session) -> None:
    """Write down what has come, for people who look later."""
    folder = Path(receipt.state_dir)
    with contextlib.suppress(OSError), (folder / LOG_FILE).open("a", encoding="utf-8") as log:
        for line in session.lines:
            log.write(f"{time.monotonic_ns()} {pod.name} {line.event} {line.values}\n")


def refusal(session: Session) -> str | None:
    """Why nothing was done, if it says so."""
    line: Line | None = session.first("refused")
    return str(line.values.get("reason")) if line is not None else None
