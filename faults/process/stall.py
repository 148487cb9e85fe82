"""Stop processes for a while with SIGSTOP, and prove that they stood still."""

from __future__ import annotations

import asyncio
import time
from typing import ClassVar, Literal

from pydantic import Field

from faults import procfs
from faults.base import (
    Evidence,
    Facts,
    Layer,
    NotInjected,
    Observation,
    Process,
    Receipt,
    RevertResult,
    Target,
)
from faults.process import container_stall, keeper
from faults.process.containers import PERMISSIONS, in_pods
from faults.process.selection import ProcessFault, choice_details, each, picked_processes
from faults.targets.kubernetes import for_revert, kubernetes

POLL_SECONDS = 0.01
SAMPLE_SECONDS = 0.5
"""How long the helper may take to note what we already see."""
LONGEST_SECONDS = 3600.0


class ProcessStall(ProcessFault):
    """Stops the picked processes with SIGSTOP and continues them after a duration.

    A helper process keeps the deadline, so the stall ends in time whatever becomes of the monitor.
    """

    facts: ClassVar[Facts] = Facts(
        layer=Layer.PROCESS,
        heals="by revert",
        longest_seconds=LONGEST_SECONDS,
        privilege="same user as the process, or CAP_KILL",
        fools="Connections stay open and the kernel still takes data for them, so peers see silence and not an "
        "error; parents and process lists see a live process. Leases and health checks run out on their own time.",
        permissions=PERMISSIONS,
    )
    kind: Literal["process_stall"] = "process_stall"
    duration_seconds: float = Field(
        default=8.0, gt=0, le=LONGEST_SECONDS, description="From the plan to SIGCONT; kept by a helper process."
    )
    verify_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="Longest wait until the kernel shows the processes stopped."
    )

    async def inject(self, receipt: Receipt, target: Target) -> None:
        if in_pods(receipt.instances):
            await container_stall.inject(receipt, kubernetes(target))
            return
        processes = picked_processes(receipt.instances)
        for process in processes:
            found = procfs.stat_of(process)
            if found is None or not found.alive:
                text = f"pid {process.pid} ({process.command}) was gone before SIGSTOP was sent"
                raise keeper.refuse(receipt, processes, text)
            if found.state == procfs.STOPPED:
                # Ending somebody else's stop at our deadline would be a change that nobody asked for.
                text = f"pid {process.pid} is stopped already (state T); continue it first"
                raise keeper.refuse(receipt, processes, text)
        keeper.start(receipt, processes)

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        if in_pods(receipt.instances):
            return await container_stall.verify(receipt, kubernetes(target), self.verify_timeout_seconds)
        processes = picked_processes(receipt.instances)
        deadline = time.monotonic() + self.verify_timeout_seconds
        first_seen_ns = None
        while True:
            states = _states(processes)
            log = keeper.read_log(receipt)
            if first_seen_ns is None and _all_stopped(states):
                first_seen_ns = time.monotonic_ns()
            at = _effect_ns(log, states, first_seen_ns)
            if at is not None:
                return self._evidence(receipt, states, at)
            reason = _why_not(log, states, receipt) or (
                f"{each(states)}, not T, {self.verify_timeout_seconds:g} s after the start"
                if time.monotonic() >= deadline
                else None
            )
            if reason is not None:
                summary = await keeper.put_back(receipt, processes)
                evidence = Evidence(summary=reason, at_monotonic_ns=time.monotonic_ns(), details=(summary.text,))
                raise NotInjected(reason, evidence)
            await asyncio.sleep(POLL_SECONDS)

    def _evidence(self, receipt: Receipt, states: dict[int, str], at_monotonic_ns: int) -> Evidence:
        stopped = ", ".join(f"pid {pid}" for pid in states)
        return Evidence(
            summary=f"{stopped} stopped (state T)",
            at_monotonic_ns=at_monotonic_ns,
            details=choice_details(receipt.instances),
        )

    async def observe(self, receipt: Receipt, target: Target) -> Observation:
        if in_pods(receipt.instances):
            return await container_stall.observe(receipt, kubernetes(target))
        processes = picked_processes(receipt.instances)
        states = _states(processes)
        log = keeper.read_log(receipt)
        before = log.first("before")
        early = _early(log, {} if before else states)
        if early and not self._over(receipt, log):
            early += await _replacements(receipt, target)
            acting = procfs.STOPPED in states.values()
            return Observation(acting=acting, summary=each(states), ended_early=early)
        if before is not None or self._over(receipt, log):
            cause = (before.cause if before else None) or "deadline"
            words = None if cause == "deadline" else f"its helper was ended by {cause}"
            return Observation(acting=False, summary=f"ended by its {cause}: {each(states)}", ended_early=words)
        lost = "" if keeper.alive(receipt) else "; its helper is gone, only a revert will end it"
        return Observation(acting=True, summary=f"{each(states)}{lost}")

    @staticmethod
    def _over(receipt: Receipt, log: keeper.Log) -> bool:
        """Whether its time is up and nothing ended it before."""
        deadline = receipt.deadline_monotonic_ns or 0
        return time.monotonic_ns() >= deadline and log.first("early") is None

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        if in_pods(receipt.instances):
            return await container_stall.revert(receipt, for_revert(target))
        result = await keeper.put_back(receipt, picked_processes(receipt.instances))
        return RevertResult(outcome=result.outcome, summary=result.text, at_monotonic_ns=result.at_monotonic_ns)


def _states(processes: list[Process]) -> dict[int, str]:
    """State letter of each by pid; `gone` for one that ended or whose pid belongs to another."""
    found = {process.pid: procfs.stat_of(process) for process in processes}
    return {pid: one.state if one is not None and one.alive else "gone" for pid, one in found.items()}


def _all_stopped(states: dict[int, str]) -> bool:
    return set(states.values()) == {procfs.STOPPED}


def _effect_ns(log: keeper.Log, states: dict[int, str], first_seen_ns: int | None) -> int | None:
    """When the effect began, once it is proven; None as long as it is not."""
    start = log.first("start")
    # A stall shorter than our look is over by now, and then the helper's last sample speaks for it.
    if start is not None and log.held("start") and (_all_stopped(states) or log.held("before")):
        return start.at_monotonic_ns
    # The helper's log may be impossible to write. What we see with our own eyes is enough then.
    waited = first_seen_ns is not None and time.monotonic_ns() - first_seen_ns > SAMPLE_SECONDS * 1e9
    return first_seen_ns if waited and _all_stopped(states) else None


def _why_not(log: keeper.Log, states: dict[int, str], receipt: Receipt) -> str | None:
    """A reason to stop waiting for the effect."""
    if log.refused is not None:
        return f"nothing was stopped: {log.refused}"
    if "gone" in states.values():
        return f"{each(states)}: it ended instead of standing still"
    if log.first("after") or log.first("early"):
        return f"{each(states)}: the stall ended before it could be verified"
    if not keeper.alive(receipt):
        return f"{each(states)}: the helper that keeps the deadline is gone"
    return None


def _early(log: keeper.Log, states: dict[int, str]) -> str:
    """What ended before its time: by the helper's notes first, and by a look of our own where it has none (yet)."""
    noted = {one.pid: one for one in log.all("early") if one.pid is not None}
    words = [_early_word(pid, one.states.get(pid, "gone")) for pid, one in noted.items()]
    words += [_early_word(pid, state) for pid, state in states.items() if state != procfs.STOPPED and pid not in noted]
    return "; ".join(words)


def _early_word(pid: int, state: str) -> str:
    if state == "gone":
        return f"pid {pid} is gone"
    return f"SIGCONT by somebody else: pid {pid} is in state {state}"


async def _replacements(receipt: Receipt, target: Target) -> str:
    """Which instances are another process by now."""
    words = []
    for instance in receipt.instances:
        fresh = await target.replacement_of(instance)
        if fresh is not None and fresh.process is not None:
            words.append(f"{instance.name} was replaced by pid {fresh.process.pid}")
    return "".join(f"; {word}" for word in words)
