"""Keeps the deadline of a stall, whatever becomes of the monitor that started it.

Run as `python -I -S stall.py STATE_DIR DEADLINE_MONOTONIC_NS PID:START_TICKS...`. It imports the standard
library only (and so parses /proc itself): it has to start fast and must not depend on an installation
that may change while it waits. SIGTERM means: continue everything now and end.

What it leaves in STATE_DIR: `helper.json` (who it is, before it acts) and lines in `stall.jsonl`. When the
log cannot be written it goes on without: the deadline matters more than the evidence.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

LOG_FILE = "stall.jsonl"
HELPER_FILE = "helper.json"
CANCEL_FILE = "reverted"
LOOK_SECONDS = 0.05
SETTLE_SECONDS = 5.0
_WAKING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class RefusedError(Exception):
    """Nothing was stopped; the text says why."""


def read_stat(pid: int) -> tuple[str, int] | None:
    """State letter and start time of a pid now."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[19])


@dataclass
class Watched:
    """One process to stop, held by a pidfd so that a reused pid is never touched."""

    pid: int
    start_ticks: int
    fd: int = -1
    early: bool = False

    def open(self) -> None:
        try:
            self.fd = os.pidfd_open(self.pid)
        except OSError as error:
            raise RefusedError(f"pid {self.pid} cannot be opened: {error.strerror}") from None
        found = read_stat(self.pid)
        if found is None or found[1] != self.start_ticks:
            raise RefusedError(f"pid {self.pid} is gone or another process by now")
        if found[0] == "T":
            raise RefusedError(f"pid {self.pid} is stopped already")

    def state(self) -> str:
        """Letter of the kernel, or `gone`."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        if poller.poll(0):
            return "gone"
        found = read_stat(self.pid)
        return found[0] if found is not None and found[1] == self.start_ticks and found[0] not in "ZX" else "gone"

    def send(self, signum: int) -> None:
        try:
            signal.pidfd_send_signal(self.fd, signum)
        except ProcessLookupError:
            return
        except PermissionError:
            raise RefusedError(f"not permitted to signal pid {self.pid}") from None


@dataclass
class Keeper:
    """Stops, waits, continues."""

    folder: Path
    deadline_ns: int
    watched: list[Watched]
    told: str = field(default="", init=False)

    def note(self, event: str, **more: object) -> None:
        """Append a line with the state of every process."""
        states = {str(one.pid): one.state() for one in self.watched if one.fd >= 0}
        line = {"event": event, "at_monotonic_ns": time.monotonic_ns(), "states": states, **more}
        with contextlib.suppress(OSError), (self.folder / LOG_FILE).open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")

    def announce(self) -> None:
        """Say who we are before acting, so that any revert can find and end us."""
        found = read_stat(os.getpid())
        who = {"pid": os.getpid(), "start_ticks": found[1] if found else 0}
        fresh = self.folder / f"{HELPER_FILE}.{os.getpid()}"
        try:
            fresh.write_text(json.dumps(who), encoding="utf-8")
            fresh.replace(self.folder / HELPER_FILE)
        except OSError as error:
            raise RefusedError(f"{HELPER_FILE} cannot be written: {error.strerror}") from None
        # A revert leaves its mark first and looks for us second; we do it the other way round, so one sees the other.
        if (self.folder / CANCEL_FILE).exists():
            raise RefusedError("it was reverted before it began")

    def stop(self) -> None:
        """Stop all, or none."""
        for one in self.watched:
            one.open()
        if time.monotonic_ns() >= self.deadline_ns:
            raise RefusedError("its deadline had passed before it began")
        try:
            for one in self.watched:
                one.send(signal.SIGSTOP)
        except RefusedError:
            self.send_continue()
            raise
        self.until(lambda: all(one.state() in {"T", "gone"} for one in self.watched), SETTLE_SECONDS)
        self.note("start")

    def hold(self) -> None:
        """Watch until the deadline, a signal, or until nothing stands still any more."""
        started = time.monotonic_ns()
        middle = started + (self.deadline_ns - started) // 2
        noted = False
        while (left := self.deadline_ns - time.monotonic_ns()) > 0:
            if not noted and time.monotonic_ns() >= middle:
                self.note("middle")
                noted = True
            self.look()
            if all(one.early for one in self.watched):
                return
            found = signal.sigtimedwait(_WAKING, min(LOOK_SECONDS, left / 1e9))
            if found is not None:
                self.told = signal.Signals(found.si_signo).name
                return

    def look(self) -> None:
        """Note once what stopped standing still without us."""
        for one in self.watched:
            state = one.state()
            if not one.early and state != "T":
                one.early = True
                self.note("early", pid=one.pid, reason="gone" if state == "gone" else "continued")

    def send_continue(self) -> None:
        for one in self.watched:
            with contextlib.suppress(RefusedError):
                one.send(signal.SIGCONT)

    def resume(self) -> None:
        """Continue all and see that they run."""
        self.note("before", cause=self.told or "deadline")
        self.send_continue()
        self.until(lambda: all(one.state() != "T" for one in self.watched), SETTLE_SECONDS, again=self.send_continue)
        self.note("after")

    def until(self, reached: Callable[[], bool], seconds: float, again: Callable[[], None] | None = None) -> None:
        """Look often at first, until it is so or the time is over."""
        end = time.monotonic() + seconds
        pause = 0.001
        while not reached() and time.monotonic() < end:
            time.sleep(pause)
            pause = min(pause * 2, LOOK_SECONDS)
            if again is not None and pause == LOOK_SECONDS:
                again()


def main(arguments: list[str]) -> int:
    """0 when everything was stopped and continued, 3 when nothing was stopped."""
    # Blocked, not handled: a signal can then only arrive where `hold` waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _WAKING)
    folder, deadline, *pairs = arguments
    watched = [Watched(int(pid), int(ticks)) for pid, _, ticks in (pair.partition(":") for pair in pairs)]
    keeper = Keeper(Path(folder), int(deadline), watched)
    try:
        keeper.announce()
        keeper.stop()
    except RefusedError as error:
        keeper.note("refused", reason=str(error))
        return 3
    try:
        keeper.hold()
    finally:
        keeper.resume()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
