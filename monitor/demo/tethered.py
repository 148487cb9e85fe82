"""`aftershock supervise`, tethered to the process that started it.

The other end of standard input is a pipe that only the starter holds. When the starter ends in
whatever way, SIGKILL included, the kernel closes it, and the supervisor stops everything.
"""

from __future__ import annotations

import os
import runpy
import signal
from threading import Thread


def _stop_at_end_of_input() -> None:
    # Not sys.stdin: its lock, held by a waiting thread, would break the end of the interpreter.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run the supervisor on the arguments of this process."""
    Thread(target=_stop_at_end_of_input, name="tether", daemon=True).start()
    runpy.run_module("faults.targets.supervise", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
