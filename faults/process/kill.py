"""End processes with a signal, and prove that it was this signal that ended them."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field, TypeAdapter, field_validator

from faults import procfs
from faults.base import (
    Evidence,
    Exit,
    Facts,
    Frozen,
    Layer,
    NotInjected,
    Process,
    Receipt,
    RevertResult,
    Target,
)
from faults.pidfd import Handle, NotPermitted, signal_name
from faults.process import container_kill
from faults.process.containers import PERMISSIONS, in_pods
from faults.process.selection import ProcessFault, choice_details, picked_processes
from faults.targets.kubernetes import kubernetes

POLL_SECONDS = 0.005
AT_ONCE_SECONDS = 0.25
"""How long `inject` itself watches, so that the end of a killed process is seen within a poll of its instant."""
PARENT_SECONDS = 1.0
"""How long a parent may take to tell how its child ended, when nobody else has told."""
BESIDE_KERNEL_SECONDS = 0.3
"""The same when the kernel has told already."""

_STALLING = frozenset({"SIGSTOP", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU"})
_HARMLESS = frozenset({"SIGCHLD", "SIGURG", "SIGWINCH"})
SENT_FILE = "sent.json"


class Sent(Frozen):
    """One signal that was sent, and what was seen of the end so far."""

    process: Process
    gone_ns: int | None = None
    """CLOCK_MONOTONIC at which it was seen to have ended."""
    exit: Exit | None = None
    """How it ended, by the kernel's word."""


_SENT_LIST = TypeAdapter(list[Sent])


class ProcessKill(ProcessFault):
    """Sends a signal that ends the picked processes."""

    facts: ClassVar[Facts] = Facts(
        layer=Layer.PROCESS,
        heals="by itself",
        longest_seconds=0.0,
        privilege="same user as the process, or CAP_KILL",
        fools="The kernel, the parent, the network peers and the clients all see a real death; nothing pretends. "
        "Whether something starts it again is up to the deployment.",
        permissions=PERMISSIONS,
    )
    kind: Literal["process_kill"] = "process_kill"
    signal: str = Field(default="SIGKILL", description="Name of the signal, such as SIGKILL, SIGTERM or SIGINT.")
    whole_tree: bool = Field(default=False, description="Also every process below each picked one.")
    verify_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="Longest wait for the processes to end; a graceful stop may need more."
    )

    @field_validator("signal")
    @classmethod
    def _ends_a_process(cls, given: str) -> str:
        name = given.strip().upper()
        name = name if name.startswith("SIG") else f"SIG{name}"
        known = signal.Signals.__members__.get(name)
        if known is not None and known.name in _STALLING:
            raise ValueError(f"{name} does not end a process; use kind process_stall")
        if known is None or known.name in _HARMLESS:
            raise ValueError(f"{given!r} is not a signal that ends a process; write SIGKILL, SIGTERM or SIGINT")
        return known.name

    async def inject(self, receipt: Receipt, target: Target) -> None:
        if in_pods(receipt.instances):
            await container_kill.inject(self, receipt, kubernetes(target))
            return
        processes = picked_processes(receipt.instances)
        sent = [Sent(process=process) for process in processes + self._below(processes)]
        try:
            _store(receipt, sent)
        except OSError as error:
            text = f"cannot write {SENT_FILE} in {receipt.state_dir}: {error.strerror}; nothing was sent"
            raise NotInjected(text) from None
        handles = _open_all(processes)
        try:
            for extra in sent[len(processes) :]:
                below = Handle.open(extra.process)
                if below is not None:
                    handles[below.process.pid] = below
            self._send_all(handles, processes)
            sent = await _watch(sent, handles, AT_ONCE_SECONDS)
        finally:
            for handle in handles.values():
                handle.close()
        # The signals are out; without this note verification only has less to say of the end.
        with contextlib.suppress(OSError):
            _store(receipt, sent)

    def _below(self, processes: list[Process]) -> list[Process]:
        """Processes below the picked ones, when the whole tree is wanted; looked up at the last moment."""
        if not self.whole_tree:
            return []
        table = procfs.table()
        picked = {process.pid for process in processes}
        pids = {pid for process in processes for pid in procfs.descendants(process.pid, table)} - picked
        return [one for pid in sorted(pids) if (one := procfs.identify(pid))]

    def _send_all(self, handles: dict[int, Handle], processes: list[Process]) -> None:
        picked = {process.pid for process in processes}
        for handle in handles.values():
            try:
                was_alive = handle.send(signal.Signals[self.signal])
            except NotPermitted as error:
                raise NotInjected(str(error)) from None
            if not was_alive and handle.process.pid in picked:
                raise NotInjected(f"pid {handle.process.pid} ended by itself before {self.signal} was sent")

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        if in_pods(receipt.instances):
            return await container_kill.verify(self, receipt, kubernetes(target))
        sent = await self._until_gone(_load(receipt))
        alive = [one for one in sent if one.gone_ns is None]
        if alive:
            raise NotInjected(self._still_alive(alive), self._evidence(receipt, sent, self._still_alive(alive)))
        known = [(one, await self._parents_word(one, target)) for one in sent]
        told = [self._words(one, by_parent) for one, by_parent in known]
        summary = "; ".join(told[:3]) + (f" and {len(told) - 3} more" if len(told) > 3 else "")
        evidence = self._evidence(receipt, sent, summary, tuple(told[3:]))
        for one, by_parent in known:
            wrong = self._wrong_end(one.process.pid, by_parent or one.exit)
            if wrong:
                raise NotInjected(wrong, evidence)
        return evidence

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        return RevertResult(
            outcome="nothing_to_do",
            summary="a killed process is not brought back by us; the deployment restarts it or not",
            at_monotonic_ns=time.monotonic_ns(),
        )

    async def _until_gone(self, sent: list[Sent]) -> list[Sent]:
        opened = [Handle.open(one.process) for one in sent if one.gone_ns is None]
        handles = {handle.process.pid: handle for handle in opened if handle is not None}
        try:
            return await _watch(sent, handles, self.verify_timeout_seconds)
        finally:
            for handle in handles.values():
                handle.close()

    async def _parents_word(self, one: Sent, target: Target) -> Exit | None:
        """The parent's word on the end; it may need a moment to say it, and not every parent speaks."""
        deadline = time.monotonic() + (PARENT_SECONDS if one.exit is None else BESIDE_KERNEL_SECONDS)
        while True:
            told = await target.exit_of(one.process)
            if told is not None or time.monotonic() >= deadline:
                return told
            await asyncio.sleep(POLL_SECONDS)

    def _wrong_end(self, pid: int, how: Exit | None) -> str | None:
        """Why this end is not the work of our signal; None when it can be. An unknown end is not held against it."""
        if how is None or how.signal == signal.Signals[self.signal]:
            return None
        if how.signal is not None:
            return f"pid {pid} died of {signal_name(how.signal)}, not of our {self.signal}"
        if self.signal == "SIGKILL":
            return f"pid {pid} exited by itself with code {how.code}, not of our SIGKILL"
        return None

    def _words(self, one: Sent, by_parent: Exit | None) -> str:
        how, source = (by_parent, "waitpid") if by_parent else (one.exit, "kernel")
        if how is None:
            return f"pid {one.process.pid} gone after {self.signal} (exit status unknown)"
        if how.signal is not None:
            return f"pid {one.process.pid} gone, {signal_name(how.signal)} ({source})"
        return f"pid {one.process.pid} gone, exit code {how.code} after {self.signal} ({source})"

    def _still_alive(self, alive: list[Sent]) -> str:
        states = [f"pid {one.process.pid} still alive, state {_state(one.process)}" for one in alive[:3]]
        more = f" and {len(alive) - 3} more" if len(alive) > 3 else ""
        return f"{', '.join(states)}{more}: {self.verify_timeout_seconds:g} s after {self.signal}"

    def _evidence(self, receipt: Receipt, sent: list[Sent], summary: str, more: tuple[str, ...] = ()) -> Evidence:
        gone = [one.gone_ns for one in sent if one.gone_ns is not None]
        return Evidence(
            summary=summary,
            at_monotonic_ns=min(gone, default=time.monotonic_ns()),
            details=(*choice_details(receipt.instances), *more),
        )


def _state(process: Process) -> str:
    found = procfs.stat_of(process)
    return found.state if found else "gone"


def _open_all(processes: list[Process]) -> dict[int, Handle]:
    """Handles on all, or none at all: nothing is sent when one of them is not there any more."""
    handles: dict[int, Handle] = {}
    for process in processes:
        handle = Handle.open(process)
        if handle is None or handle.gone():
            for opened in handles.values():
                opened.close()
            if handle is not None:
                handle.close()
            raise NotInjected(f"pid {process.pid} ({process.command}) was gone before the signal was sent")
        handles[process.pid] = handle
    return handles


async def _watch(sent: list[Sent], handles: dict[int, Handle], seconds: float) -> list[Sent]:
    """Look until all are gone or the time is over; fills in when and how each ended."""
    deadline = time.monotonic() + seconds
    while True:
        sent = [_look(one, handles.get(one.process.pid)) for one in sent]
        if all(one.gone_ns is not None and one.exit is not None for one in sent):
            return sent
        if all(one.gone_ns is not None for one in sent):
            deadline = min(deadline, max(one.gone_ns or 0 for one in sent) / 1e9 + 0.05)
        if time.monotonic() >= deadline:
            return sent
        await asyncio.sleep(POLL_SECONDS)


def _look(one: Sent, handle: Handle | None) -> Sent:
    if one.gone_ns is not None and one.exit is not None:
        return one
    if handle is None:
        alive = procfs.is_alive(one.process)
        return one if alive or one.gone_ns is not None else one.model_copy(update={"gone_ns": time.monotonic_ns()})
    if not handle.gone():
        return one
    return one.model_copy(update={"gone_ns": one.gone_ns or time.monotonic_ns(), "exit": handle.exit()})


def _store(receipt: Receipt, sent: list[Sent]) -> None:
    folder = Path(receipt.state_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SENT_FILE).write_bytes(_SENT_LIST.dump_json(sent))


def _load(receipt: Receipt) -> list[Sent]:
    """What `inject` left; the receipt's own list where that cannot be read."""
    try:
        return _SENT_LIST.validate_json((Path(receipt.state_dir) / SENT_FILE).read_bytes())
    except (OSError, ValueError):
        return [Sent(process=process) for process in picked_processes(receipt.instances)]
