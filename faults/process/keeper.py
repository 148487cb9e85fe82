"""The monitor's side of a stall's helper: start it, read its log, end it and put everything back.

Everything here works from the receipt alone, in any process, any number of times.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from faults import procfs
from faults.base import NotInjected, Process, Receipt, RevertFailed
from faults.helper import stall as helper
from faults.pidfd import Handle, NotPermitted, signal_once
from faults.process.selection import each
from faults.wait import until

CONFIRM_SECONDS = 5.0
HELPER_SECONDS = 2.0
_INHERITED = ("PATH", "LANG", "LD_LIBRARY_PATH")


class Event(BaseModel):
    """One line of the helper's log (a revert adds lines of its own)."""

    event: Literal["start", "middle", "early", "before", "after", "refused"]
    at_monotonic_ns: int
    states: dict[int, str] = {}
    cause: str | None = None
    """Of `before`: `deadline`, the signal that ended the helper, or `revert`."""
    pid: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Log:
    """What is known of a stall, oldest first."""

    events: tuple[Event, ...] = ()

    def first(self, event: str) -> Event | None:
        return next((one for one in self.events if one.event == event), None)

    def all(self, event: str) -> list[Event]:
        return [one for one in self.events if one.event == event]

    @property
    def refused(self) -> str | None:
        """Why the helper stopped nothing."""
        found = self.first("refused")
        return (found.reason or "the helper refused") if found else None

    def held(self, event: str) -> bool:
        """Whether that sample shows every process in state T."""
        found = self.first(event)
        return found is not None and bool(found.states) and set(found.states.values()) == {procfs.STOPPED}


@dataclass(frozen=True, slots=True)
class PutBack:
    """Outcome of `put_back`."""

    outcome: Literal["reverted", "target_gone", "nothing_to_do"]
    text: str
    at_monotonic_ns: int


def start(receipt: Receipt, processes: Sequence[Process]) -> None:
    """Start the helper, in a session of its own. Raises `NotInjected`."""
    folder = Path(receipt.state_dir)
    arguments = [f"{process.pid}:{process.start_ticks}" for process in processes]
    words = [sys.executable, "-I", "-S", helper.__file__, str(folder), str(receipt.deadline_monotonic_ns), *arguments]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        child = subprocess.Popen(
            words,
            cwd="/",
            env={name: os.environ[name] for name in _INHERITED if name in os.environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise NotInjected(f"the stall helper cannot be started in {folder}: {error.strerror}") from None
    # Somebody has to take its exit status, or it stays a zombie for as long as the monitor runs.
    threading.Thread(target=child.wait, name=f"stall-helper-{child.pid}", daemon=True).start()
    _remember(folder, child)


def _remember(folder: Path, child: subprocess.Popen[bytes]) -> None:
    """Write who the helper is; it writes the same itself, but later."""
    found = procfs.identify(child.pid)
    if found is None:
        return
    fresh = folder / f"{helper.HELPER_FILE}.parent"
    try:
        fresh.write_text(found.model_dump_json(include={"pid", "start_ticks"}), encoding="utf-8")
        fresh.replace(folder / helper.HELPER_FILE)
    except OSError as error:
        child.terminate()
        raise NotInjected(f"cannot write in {folder}: {error.strerror}; nothing was stopped") from None


def read_log(receipt: Receipt) -> Log:
    """The log so far; lines that are not whole (yet) are left out."""
    try:
        text = (Path(receipt.state_dir) / helper.LOG_FILE).read_text(encoding="utf-8")
    except OSError:
        return Log()
    events = []
    for line in text.splitlines():
        with contextlib.suppress(ValidationError):
            events.append(Event.model_validate_json(line))
    return Log(tuple(events))


def helper_process(receipt: Receipt) -> Process | None:
    """Who the helper is, if that was written."""
    try:
        who = json.loads((Path(receipt.state_dir) / helper.HELPER_FILE).read_text(encoding="utf-8"))
        return Process(pid=who["pid"], start_ticks=who["start_ticks"], command="")
    except (OSError, ValueError, KeyError, TypeError):
        return None


def alive(receipt: Receipt) -> bool:
    """Whether the helper still keeps its deadline."""
    found = helper_process(receipt)
    return found is not None and procfs.is_alive(found)


async def put_back(receipt: Receipt, processes: Sequence[Process]) -> PutBack:
    """End the helper and continue what is stopped. Raises `RevertFailed` when a process stays stopped."""
    log = read_log(receipt)
    _leave_mark(receipt)
    await _end_helper(receipt)
    log = read_log(receipt)
    stopped = [process for process in processes if _state(process) == procfs.STOPPED]
    # Refused means that nothing was stopped by us: a stop that is there is somebody else's.
    if stopped and (log.refused is None or log.first("start")):
        before = _note(receipt, "before", processes, cause="revert")
        for process in stopped:
            _continue(process)
        await _confirm(stopped)
        log = Log((*log.events, before, _note(receipt, "after", processes)))
    return _result(log, processes)


def _result(log: Log, processes: Sequence[Process]) -> PutBack:
    states = {process.pid: _state(process) for process in processes}
    after = log.all("after")
    at = min(after[-1].at_monotonic_ns, time.monotonic_ns()) if after else time.monotonic_ns()
    if log.first("start") is None and not after:
        return PutBack("nothing_to_do", f"nothing was stopped ({each(states)})", at)
    text = "; ".join(story(log, pid, state) for pid, state in states.items())
    gone = all(state == "gone" for state in states.values())
    return PutBack("target_gone" if gone else "reverted", text, at)


def story(log: Log, pid: int, now: str) -> str:
    """What the samples say of one process: `pid 7: T at start, in the middle, before SIGCONT; S after; stopped 8.00 s`."""
    places = (("start", "at start"), ("middle", "in the middle"), ("before", "before SIGCONT"))
    last = [(words, log.all(event)) for event, words in places]
    seen = [(found[-1].states.get(pid, "?"), words) for words, found in last if found]
    samples = ", ".join(f"{state} {words}" for state, words in seen) or "no samples"
    after = log.all("after")
    end_state = after[-1].states.get(pid, now) if after else now
    early = next((one for one in log.all("early") if one.pid == pid), None)
    start, end = log.first("start"), early or (after[-1] if after else None)
    length = f"; stopped {(end.at_monotonic_ns - start.at_monotonic_ns) / 1e9:.2f} s" if start and end else ""
    why = f" (ended early: {early.reason})" if early else ""
    return f"pid {pid}: {samples}; {end_state} after{length}{why}"


def refuse(receipt: Receipt, processes: Sequence[Process], reason: str) -> NotInjected:
    """Note that nothing will be stopped, so that a revert leaves everything alone, and give the error for it."""
    _note(receipt, "refused", processes, reason=reason)
    return NotInjected(reason)


def _leave_mark(receipt: Receipt) -> None:
    """From now on a helper that has not begun will not begin; see its `announce`."""
    folder = Path(receipt.state_dir)
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / helper.CANCEL_FILE).touch()


async def _end_helper(receipt: Receipt) -> None:
    found = helper_process(receipt)
    handle = Handle.open(found) if found is not None else None
    if handle is None:
        return
    with handle:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            try:
                handle.send(signum)
            except NotPermitted as error:
                raise RevertFailed(f"the stall helper cannot be ended: {error}") from None
            if await until(handle.gone, HELPER_SECONDS):
                return


def _continue(process: Process) -> None:
    try:
        signal_once(process, signal.SIGCONT)
    except NotPermitted as error:
        raise RevertFailed(str(error)) from None


async def _confirm(processes: Sequence[Process]) -> None:
    def still() -> list[str]:
        return [str(process.pid) for process in processes if _state(process) == procfs.STOPPED]

    if not await until(lambda: not still(), CONFIRM_SECONDS):
        raise RevertFailed(f"pid {', '.join(still())} still stopped (state T) {CONFIRM_SECONDS:g} s after SIGCONT")


def _state(process: Process) -> str:
    found = procfs.stat_of(process)
    return found.state if found is not None and found.alive else "gone"


def _note(
    receipt: Receipt,
    event: Literal["before", "after", "refused"],
    processes: Sequence[Process],
    cause: str | None = None,
    reason: str | None = None,
) -> Event:
    """Sample the states; appended to the log where that can be written."""
    states = {process.pid: _state(process) for process in processes}
    noted = Event(event=event, at_monotonic_ns=time.monotonic_ns(), states=states, cause=cause, reason=reason)
    with (
        contextlib.suppress(OSError),
        (Path(receipt.state_dir) / helper.LOG_FILE).open("a", encoding="utf-8") as log,
    ):
        log.write(noted.model_dump_json(exclude_none=True) + "\n")
    return noted
