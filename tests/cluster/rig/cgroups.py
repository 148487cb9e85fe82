"""The node's own cgroup in every hierarchy of the machine, and its removal."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_EMPTY_SECONDS = 20.0


class Cgroup:
    """A cgroup of one name in all hierarchies (version 1), or in the only one (version 2)."""

    def __init__(self, name: str) -> None:
        self.folders = [mount / name for mount in _hierarchies()]

    def make(self) -> None:
        """Make it, with what version 1's cpuset needs before a process can join."""
        for folder in self.folders:
            folder.mkdir(exist_ok=True)
            for file in ("cpuset.cpus", "cpuset.mems"):
                if (folder / file).exists() and not (folder / file).read_text(encoding="utf-8").strip():
                    value = (folder.parent / file).read_text(encoding="utf-8")
                    with contextlib.suppress(OSError):
                        (folder / file).write_text(value, encoding="utf-8")

    def empty(self) -> None:
        """End whatever is in it and wait until the kernel has let go."""
        deadline = time.monotonic() + _EMPTY_SECONDS
        while (pids := self._pids()) and time.monotonic() < deadline:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.1)

    def remove(self) -> None:
        """Remove it and everything below it."""
        for folder in self.folders:
            if not folder.exists():
                continue
            below = sorted((path for path in folder.rglob("*") if path.is_dir()), key=lambda path: -len(path.parts))
            for one in (*below, folder):
                with contextlib.suppress(OSError):
                    one.rmdir()

    def _pids(self) -> set[int]:
        found: set[int] = set()
        for folder in self.folders:
            for file in (folder / "cgroup.procs", *folder.rglob("cgroup.procs")):
                with contextlib.suppress(OSError, ValueError):
                    found.update(int(line) for line in file.read_text(encoding="utf-8").split())
        return found


def _hierarchies() -> list[Path]:
    """Mount points, without the version 2 one that stands beside version 1's."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()]
    first = [Path(place) for place, kind in mounts if kind == "cgroup"]
    return first or [Path(place) for place, kind in mounts if kind == "cgroup2"][:1]
