"""One child process of the supervisor: how it is started, watched and ended."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from faults import procfs
from faults.base import Exit
from faults.targets.spec import Prepared

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Child:
    """A running process. It is reaped by `ended` only, so its pid cannot be reused before."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen
        self.pid = popen.pid
        found = procfs.stat(popen.pid)
        self.start_ticks = found.start_ticks if found else 0

    @classmethod
    def start(cls, prepared: Prepared, log: Path, environment: Mapping[str, str]) -> Child:
        """Start it in a session of its own; raises `OSError`. Call from the main thread only.

        The kernel's parent-death signal is bound to the thread that forks, so that thread has to live as long
        as the supervisor does.
        """
        with log.open("ab") as output:
            popen = subprocess.Popen(
                prepared.command,
                env={**environment, **prepared.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_tied_to(os.getpid()),  # noqa: PLW1509 - the supervisor has one thread
            )
        return cls(popen)

    async def ended(self) -> Exit:
        """Wait for its end; whatever it left in its session is killed, as in a container."""
        loop = asyncio.get_running_loop()
        gone = asyncio.Event()
        fd = os.pidfd_open(self.pid)
        loop.add_reader(fd, gone.set)
        try:
            await gone.wait()
        finally:
            loop.remove_reader(fd)
            os.close(fd)
        at = time.monotonic_ns()
        # Before reaping: as long as the leader is a zombie, the number of the session cannot be another's.
        self.kill_session()
        code = self._popen.wait()
        return Exit(signal=-code, at_monotonic_ns=at) if code < 0 else Exit(code=code, at_monotonic_ns=at)

    def ask_to_stop(self, signum: int) -> None:
        """Send the stop signal to the process itself; a stopped one is continued, or it would never hear it."""
        found = procfs.stat(self.pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signum)
            if found is not None and found.state == procfs.STOPPED:
                os.killpg(self.pid, signal.SIGCONT)

    def kill_session(self) -> None:
        """Kill everything that it started and that did not leave its session."""
        pids = [one.pid for one in procfs.table().values() if one.session == self.pid]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _tied_to(parent: int) -> Callable[[], None]:
    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(127)
        # A shell that starts the supervisor in the background ignores SIGINT for it. A child that inherited
        # this would never see the SIGINT that ends it in order.
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
            signal.signal(signum, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    return in_child
