"""Becomes another program that dies with its parent: `python -m probes.launch PARENT_PID PROGRAM ARGS...`.

The kernel keeps the parent-death signal over exec, and it fires even when the parent gets SIGKILL. It is set here, in the
child, because code between fork and exec in a threaded parent is not safe.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> int:
    """Replace this process; returns only when the parent is already gone."""
    parent, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(parent):
        return 1  # it died before the signal was set
    # aiperf is stopped by SIGINT, which a shell that started us in the background has set to be ignored.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return os.execvp(command[0], command)  # noqa: S606 - becoming the program is the purpose


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
