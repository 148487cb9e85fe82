"""Ends what a supervisor that was killed has left behind.

Run as `python -I -S reap.py`, with the supervisor's end of a pipe as standard input: `+PID` and `-PID` lines
say which sessions its children lead. When the pipe closes, the supervisor is gone, however it went, and
everything in the sessions that are left is killed. The kernel ends direct children by itself
(PR_SET_PDEATHSIG); this is for theirs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path

ROUNDS = 20


def sessions_of(lines: Iterable[str]) -> set[int]:
    """Read until the pipe closes; what is still led then."""
    led: set[int] = set()
    for line in lines:
        with contextlib.suppress(ValueError):
            pid = int(line[1:])
            led.add(pid) if line.startswith("+") else led.discard(pid)
    return led


def members(led: set[int]) -> list[int]:
    """Pids of all live processes in these sessions."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[3]) in led and fields[0] not in "ZX":
            found.append(int(entry.name))
    return found


def main() -> int:
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    led = sessions_of(sys.stdin)
    for _ in range(ROUNDS):
        left = members(led) if led else []
        if not left:
            return 0
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    return 1


if __name__ == "__main__":
    sys.exit(main())
