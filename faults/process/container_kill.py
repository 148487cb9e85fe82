"""`process_kill` in containers: the signal is sent from inside, the end is seen from inside and by the kubelet."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass
from typing import Protocol

from faults.base import Evidence, FaultError, Instance, NotInjected, Receipt
from faults.kube.exec import Session
from faults.kube.pods import PodView
from faults.pidfd import signal_name
from faults.process.containers import keep_lines, must_be_whole, refusal, words_of
from faults.targets.kubernetes import KubernetesTarget, pod_of

POLL_SECONDS = 0.1
KUBELET_SECONDS = 15.0
"""How long the kubelet may take to tell how a container ended."""
FIRST = 1


class Kill(Protocol):
    """The part of `ProcessKill` that is needed here."""

    @property
    def signal(self) -> str: ...

    @property
    def verify_timeout_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class _End:
    text: str
    at_ns: int
    wrong: str | None = None


async def inject(fault: Kill, receipt: Receipt, target: KubernetesTarget) -> None:
    """Send to all, or to none where one of them is not what it was."""
    try:
        await must_be_whole(target, receipt.instances)
        for instance in receipt.instances:
            words = ["kill", fault.signal, str(fault.verify_timeout_seconds), *words_of(instance.processes)]
            session = await target.containers.start(pod_of(instance), words)
            target.sessions[_key(receipt, instance)] = session
            reason = refusal(session)
            if reason is not None:
                raise NotInjected(f"{instance.name}: {reason}")
    except NotInjected:
        raise
    except FaultError as error:
        raise NotInjected(str(error)) from None


async def verify(fault: Kill, receipt: Receipt, target: KubernetesTarget) -> Evidence:
    """Wait until all are gone, of our signal as far as anybody knows."""
    ends = []
    for instance in receipt.instances:
        session = target.sessions.pop(_key(receipt, instance), None)
        if session is None:
            raise NotInjected(f"{instance.name}: nothing is known of the signal; was it sent by another process?")
        ends.append(await _end_of(fault, instance, session, target))
        keep_lines(receipt, pod_of(instance), session)
    evidence = Evidence(summary="; ".join(end.text for end in ends), at_monotonic_ns=min(end.at_ns for end in ends))
    wrong = next((end.wrong for end in ends if end.wrong), None)
    if wrong:
        raise NotInjected(wrong, evidence)
    return evidence


async def _end_of(fault: Kill, instance: Instance, session: Session, target: KubernetesTarget) -> _End:
    await session.until(_over, fault.verify_timeout_seconds + 5)
    reason = refusal(session)
    if reason is not None:
        raise NotInjected(f"{instance.name}: {reason}")
    if any(one.pid == FIRST for one in instance.processes):
        return await _container_end(fault, instance, session, target)
    gone = {line.values["pid"]: line.at_monotonic_ns for line in session.all("gone")}
    left = [one for one in instance.processes if one.pid not in gone]
    if left and session.first("done") is None:
        # The whole container may have ended with it, and our eyes with the container.
        return await _container_end(fault, instance, session, target)
    if left:
        states = {line.values["pid"]: line.values["state"] for line in session.all("alive")}
        each = ", ".join(f"pid {one.pid} still alive, state {states.get(one.pid, '?')}" for one in left)
        raise NotInjected(f"{instance.name}: {each}: {fault.verify_timeout_seconds:g} s after {fault.signal}")
    names = ", ".join(f"pid {pid}" for pid in gone)
    return _End(f"{instance.name}: {names} gone after {fault.signal} (seen inside the container)", min(gone.values()))


def _over(session: Session) -> bool:
    return session.ended is not None or session.first("done") is not None


async def _container_end(fault: Kill, instance: Instance, session: Session, target: KubernetesTarget) -> _End:
    """What the kubelet says of the container that ended. Raises `NotInjected` when it has not ended."""
    pod = pod_of(instance)
    alive = [line.values for line in session.all("alive") if line.values["pid"] == FIRST]
    if alive:
        state = f"pid {FIRST} still alive, state {alive[0]['state']}"
        raise NotInjected(f"{instance.name}: {state}: {fault.verify_timeout_seconds:g} s after {fault.signal}")
    gone = min((line.at_monotonic_ns for line in session.all("gone")), default=None)
    at = gone or session.ended_ns or time.monotonic_ns()
    deadline = time.monotonic() + KUBELET_SECONDS
    while True:
        try:
            found = await target.look(pod)
        except FaultError as error:
            raise NotInjected(f"how {instance.name} ended cannot be told: {error}") from None
        if found is None:
            return _End(f"pod {pod.name} gone after {fault.signal}", at)
        told = _told(fault, instance, found, at)
        if told is not None:
            return told
        if time.monotonic() >= deadline:
            raise NotInjected(
                f"{instance.name}: the connection into the container ended, but the kubelet shows the same container "
                f"{KUBELET_SECONDS:g} s later (restartCount {found.pod.restart_count})"
            )
        await asyncio.sleep(POLL_SECONDS)


def _told(fault: Kill, instance: Instance, found: PodView, at_ns: int) -> _End | None:
    pod = pod_of(instance)
    restarted = found.pod.restart_count > pod.restart_count
    ended = not found.running and found.last_end is not None
    if not restarted and not ended:
        return None
    end, wanted = found.last_end, int(signal.Signals[fault.signal])
    counts = f"restartCount {pod.restart_count} to {found.pod.restart_count}" if restarted else "not restarted yet"
    if end is None:
        return _End(f"{instance.name}: container ended after {fault.signal} ({counts})", at_ns)
    how = signal_name(end.by_signal) if end.by_signal else f"exit code {end.exit_code}"
    text = f"{instance.name}: container ended, {how}{f' ({end.reason})' if end.reason else ''} after {fault.signal}, {counts}"
    wrong = None
    if fault.signal == "SIGKILL" and end.by_signal != wanted:
        wrong = f"{instance.name}: the container ended with {how}, not of our SIGKILL"
    elif end.reason == "OOMKilled":
        wrong = f"{instance.name}: the container was killed for its memory, not by our {fault.signal}"
    return _End(text, at_ns, wrong)


def _key(receipt: Receipt, instance: Instance) -> str:
    return f"{receipt.run_id}/{instance.name}"
