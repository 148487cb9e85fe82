"""Handles on processes that a reused pid cannot fool (Linux pidfd)."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import struct
import time
from dataclasses import dataclass
from types import TracebackType

from faults import procfs
from faults.base import Exit, FaultError, Process

# PIDFD_GET_INFO of linux/pidfd.h, with the 64 byte form of struct pidfd_info. Since Linux 6.15 it tells
# the exit status of a reaped process to whoever holds a handle; older kernels refuse, which is fine.
_GET_INFO = (3 << 30) | (64 << 16) | (0xFF << 8) | 11
_INFO_EXIT = 1 << 3
_EXIT_CODE_OFFSET = 60


class NotPermitted(FaultError):
    """The kernel does not let us signal that process."""


@dataclass(slots=True)
class Handle:
    """An open pidfd of one very process. Use as a context manager."""

    process: Process
    fd: int

    @classmethod
    def open(cls, process: Process) -> Handle | None:
        """None when that process is gone, reaped or replaced by another of the same pid."""
        try:
            handle = cls(process, os.pidfd_open(process.pid))
        except OSError as error:
            if error.errno in {errno.ESRCH, errno.EINVAL}:
                return None
            raise
        # Only now the pid cannot change hands any more, so only now the start time proves who it is.
        if procfs.stat_of(process) is None:
            handle.close()
            return None
        return handle

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        os.close(self.fd)

    def send(self, signum: int) -> bool:
        """Signal this very process; False when it has ended. Raises `NotPermitted`."""
        if self.gone():
            return False
        try:
            signal.pidfd_send_signal(self.fd, signum)
        except ProcessLookupError:
            return False
        except PermissionError:
            text = f"not permitted to send {signal_name(signum)} to pid {self.process.pid}; run as its user or with CAP_KILL"
            raise NotPermitted(text) from None
        return True

    def gone(self) -> bool:
        """Whether it has ended (a zombie counts)."""
        poller = select.poll()
        poller.register(self.fd, select.POLLIN)
        return bool(poller.poll(0))

    def exit(self) -> Exit | None:
        """How it ended, by the kernel's word: from the zombie, or from this handle after it was reaped."""
        seen = time.monotonic_ns()
        found = procfs.stat_of(self.process)
        if found is not None:
            return exit_from_status(found.wait_status, seen) if found.wait_status is not None else None
        info = bytearray(64)
        struct.pack_into("=Q", info, 0, _INFO_EXIT)
        try:
            fcntl.ioctl(self.fd, _GET_INFO, info)
        except OSError:
            return None
        (mask,) = struct.unpack_from("=Q", info, 0)
        (status,) = struct.unpack_from("=i", info, _EXIT_CODE_OFFSET)
        return exit_from_status(status, seen) if mask & _INFO_EXIT else None


def exit_from_status(status: int, at_monotonic_ns: int) -> Exit:
    """Make sense of a wait status."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return Exit(signal=-code, at_monotonic_ns=at_monotonic_ns)
    return Exit(code=code, at_monotonic_ns=at_monotonic_ns)


def signal_name(signum: int) -> str:
    """`SIGKILL` for 9; real-time signals have no names of their own."""
    try:
        return signal.Signals(signum).name
    except ValueError:
        return f"signal {signum}"


def signal_once(process: Process, signum: int) -> bool:
    """Signal a process if it is still that one; False when it is gone."""
    handle = Handle.open(process)
    if handle is None:
        return False
    with handle:
        return handle.send(signum)
