"""`process_stall` in containers: a helper inside keeps the deadline, whatever becomes of us and of the connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal

from faults.base import (
    Evidence,
    FaultError,
    Instance,
    NotInjected,
    Observation,
    Receipt,
    RevertFailed,
    RevertResult,
)
from faults.kube.errors import ClusterError
from faults.kube.exec import NoPython, Session
from faults.process.containers import keep_lines, must_be_whole, refusal, words_of
from faults.targets.kubernetes import KubernetesTarget, pod_of

Outcome = Literal["reverted", "target_gone", "nothing_to_do"]

RELEASE_SECONDS = 15.0
STOPPED = frozenset({"T", "t"})


async def inject(receipt: Receipt, target: KubernetesTarget) -> None:
    """Start a helper in each container."""
    try:
        await must_be_whole(target, receipt.instances)
        for instance in receipt.instances:
            # Clocks of two machines are not compared: what is left of the time is what is sent.
            left = ((receipt.deadline_monotonic_ns or 0) - time.monotonic_ns()) / 1e9
            if left <= 0:
                raise NotInjected(f"{instance.name}: the deadline had passed before the stall began")
            words = ["stall", receipt.run_id, f"{left:.3f}", *words_of(instance.processes)]
            target.sessions[_key(receipt, instance)] = await target.containers.start(pod_of(instance), words)
    except NotInjected:
        raise
    except FaultError as error:
        raise NotInjected(str(error)) from None


async def verify(receipt: Receipt, target: KubernetesTarget, timeout_seconds: float) -> Evidence:
    """Wait for the helpers' first samples: all threads of all processes stand still."""
    starts, words, details = [], [], []
    for instance in receipt.instances:
        session = _session(receipt, instance, target)
        await session.until(lambda one: one.first("start") is not None or _reason(one) is not None, timeout_seconds)
        start, reason = session.first("start"), refusal(session)
        if start is None:
            said = reason or session.ended or f"no word of the helper within {timeout_seconds:g} s"
            raise NotInjected(f"{instance.name}: nothing was stopped: {said}")
        states: dict[str, str] = start.values["states"]
        if not set(states.values()) <= STOPPED:
            raise NotInjected(f"{instance.name}: {_each(states)}: not stopped")
        starts.append(start.at_monotonic_ns)
        words.append(f"{instance.name}: {_each(states)}")
        details += [
            f"{instance.name}: pid 1 is held with ptrace (state t)" for state in states.values() if state == "t"
        ]
    return Evidence(summary="; ".join(words), at_monotonic_ns=max(starts), details=tuple(details))


async def observe(receipt: Receipt, target: KubernetesTarget) -> Observation:
    """What the helpers have said since."""
    early, over, lost = [], 0, []
    for instance in receipt.instances:
        session = target.sessions.get(_key(receipt, instance))
        if session is None:
            lost.append(instance.name)
            continue
        early += [f"{instance.name}: pid {line.values['pid']} {line.values['reason']}" for line in session.all("early")]
        if session.first("after") is not None:
            over += 1
        elif session.ended is not None:
            found = await _still_the_container(instance, target)
            early += [f"{instance.name}: its container ended"] if found is False else []
            lost += [instance.name] if found is not False else []
    passed = time.monotonic_ns() >= (receipt.deadline_monotonic_ns or 0)
    if early and not passed:
        return Observation(acting=False, summary="; ".join(early), ended_early="; ".join(early))
    if over == len(receipt.instances) or passed:
        return Observation(acting=False, summary="ended by its deadline")
    note = f"; no connection to the helper in {', '.join(lost)}, it ends by its own clock" if lost else ""
    return Observation(acting=True, summary=f"stopped{note}")


async def revert(receipt: Receipt, target: KubernetesTarget) -> RevertResult:
    """End the helpers, continue what is stopped, and see it run. Raises `RevertFailed`."""
    words: list[str] = []
    outcomes: list[Outcome] = []
    ends: list[int] = []
    for instance in receipt.instances:
        outcome, text, at = await _release(receipt, instance, target)
        words.append(f"{instance.name}: {text}")
        outcomes.append(outcome)
        ends.append(at)
    for key in keys(receipt):
        target.sessions.pop(key, None)
    order: tuple[Outcome, ...] = ("reverted", "target_gone", "nothing_to_do")
    for name in order:
        if name in outcomes:
            return RevertResult(outcome=name, summary="; ".join(words), at_monotonic_ns=max(ends))
    return RevertResult(outcome="nothing_to_do", summary="no instances", at_monotonic_ns=time.monotonic_ns())


async def _release(receipt: Receipt, instance: Instance, target: KubernetesTarget) -> tuple[Outcome, str, int]:
    session = target.sessions.get(_key(receipt, instance))
    now = time.monotonic_ns()
    try:
        if not await _still_the_container(instance, target):
            return "target_gone", "the pod is gone or its container was started anew", now
        if session is not None and refusal(session) is not None:
            return "nothing_to_do", f"nothing was stopped: {refusal(session)}", now
        words = ["release", receipt.run_id, *words_of(instance.processes)]
        answer = await target.containers.run(pod_of(instance), words, RELEASE_SECONDS)
    except NoPython as error:
        return "nothing_to_do", str(error), now
    except FaultError as error:
        if isinstance(error, ClusterError) and error.gone:
            return "target_gone", "the pod is gone", now
        raise RevertFailed(f"{instance.name}: {error}") from None
    return await _released(receipt, instance, target, answer)


async def _released(
    receipt: Receipt, instance: Instance, target: KubernetesTarget, answer: Session
) -> tuple[Outcome, str, int]:
    line = answer.first("released")
    if line is None:
        if await _gone_meanwhile(instance, target):
            return "target_gone", "the container ended", time.monotonic_ns()
        said = f"{answer.ended} {answer.stderr}".strip()
        raise RevertFailed(f"{instance.name}: no word from inside the container: {said}")
    states: dict[str, str] = line.values["states"]
    still = {pid: state for pid, state in states.items() if state in STOPPED}
    if still:
        raise RevertFailed(f"{instance.name}: {_each(still)}: still stopped")
    session = target.sessions.get(_key(receipt, instance))
    at, story = await _story(receipt, instance, session, line.at_monotonic_ns)
    gone = set(states.values()) == {"gone"}
    return "target_gone" if gone else "reverted", f"{_each(states)} after{story}", at


async def _story(receipt: Receipt, instance: Instance, session: Session | None, now_ns: int) -> tuple[int, str]:
    """What the helper's samples say, and when the stall ended."""
    if session is None:
        return now_ns, ""
    await session.until(lambda one: one.first("after") is not None, 1.0)
    keep_lines(receipt, pod_of(instance), session)
    start, after = session.first("start"), session.first("after")
    samples = [
        f"{_each(line.values['states'])} {words}"
        for event, words in (("start", "at start"), ("middle", "in the middle"), ("before", "before the end"))
        if (line := session.first(event)) is not None
    ]
    if start is None or after is None:
        return now_ns, f" ({'; '.join(samples)})" if samples else ""
    seconds = (after.inside_ns - start.inside_ns) / 1e9
    return after.at_monotonic_ns, f"; stopped {seconds:.2f} s ({'; '.join(samples)})"


async def _still_the_container(instance: Instance, target: KubernetesTarget) -> bool:
    pod = pod_of(instance)
    found = await target.look(pod)
    return found is not None and found.running and found.pod.container_id == pod.container_id


async def _gone_meanwhile(instance: Instance, target: KubernetesTarget, seconds: float = 3.0) -> bool:
    """The kubelet needs a moment to say that a container ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not await _still_the_container(instance, target):
            return True
        await asyncio.sleep(0.2)
    return False


def _session(receipt: Receipt, instance: Instance, target: KubernetesTarget) -> Session:
    found = target.sessions.get(_key(receipt, instance))
    if found is None:
        raise NotInjected(f"{instance.name}: nothing is known of its helper; was it started by another process?")
    return found


def _reason(session: Session) -> str | None:
    return refusal(session) or session.ended


def _each(states: dict[str, str]) -> str:
    return ", ".join(f"pid {pid} {_words(state)}" for pid, state in states.items())


def _words(state: str) -> str:
    return f"stopped (state {state})" if state in STOPPED else state


def _key(receipt: Receipt, instance: Instance) -> str:
    return f"{receipt.run_id}/{instance.name}"


def keys(receipt: Receipt) -> Sequence[str]:
    """Names of the sessions of a run."""
    return [_key(receipt, instance) for instance in receipt.instances]
