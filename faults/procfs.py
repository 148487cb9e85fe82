"""Facts about processes by the kernel's own word: /proc."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from faults.base import Process

PROC = Path("/proc")
STOPPED = "T"
_DEAD = frozenset("ZX")

LAUNCHERS = frozenset(
    {
        *("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox"),
        *("uv", "uvx", "poetry", "pdm", "hatch", "pixi", "conda", "pipenv"),
        *("tini", "docker-init", "dumb-init", "catatonit", "su-exec", "gosu"),
        *("env", "nice", "ionice", "nohup", "setsid", "timeout", "time", "stdbuf", "taskset", "numactl", "chrt"),
        *("sudo", "su", "runuser", "setpriv", "unshare", "script"),
    }
)
"""Programs whose job is to start another one; compared with the name of the program file."""


@dataclass(frozen=True, slots=True)
class Stat:
    """The fields of /proc/PID/stat that we use."""

    pid: int
    comm: str
    state: str
    """One letter: R, S, D, T (stopped), t (traced), Z (zombie), X (dead), I."""
    parent: int
    session: int
    start_ticks: int
    wait_status: int | None
    """As waitpid gives it; only of a zombie, and only where we may look (else None)."""

    @property
    def alive(self) -> bool:
        """False for a zombie: it runs nothing any more and only waits for its parent to look."""
        return self.state not in _DEAD


def parse_stat(text: str) -> Stat:
    """Parse the content of /proc/PID/stat; the name may itself hold spaces and brackets."""
    head, _, tail = text.rpartition(")")
    pid, _, comm = head.partition("(")
    fields = tail.split()
    status = int(fields[49]) if fields[0] in _DEAD and len(fields) > 49 else None
    return Stat(
        pid=int(pid),
        comm=comm,
        state=fields[0],
        parent=int(fields[1]),
        session=int(fields[3]),
        start_ticks=int(fields[19]),
        wait_status=status or None,
    )


def stat(pid: int) -> Stat | None:
    """What the kernel says of a pid now; None when there is no such process."""
    try:
        return parse_stat((PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace"))
    except (FileNotFoundError, ProcessLookupError):
        return None


def stat_of(process: Process) -> Stat | None:
    """Like `stat`, but None when the pid belongs to another process by now."""
    found = stat(process.pid)
    return found if found is not None and found.start_ticks == process.start_ticks else None


def is_alive(process: Process) -> bool:
    """Whether this very process still runs (or is stopped)."""
    found = stat_of(process)
    return found is not None and found.alive


def arguments(pid: int) -> list[str]:
    """The argument list; empty for kernel threads, zombies and processes that are gone."""
    try:
        raw = (PROC / str(pid) / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [part.decode(errors="replace") for part in raw.rstrip(b"\0").split(b"\0")] if raw.strip(b"\0") else []


def command(pid: int) -> str:
    """The command line as one text, as a process that retitled itself shows it; its name if it has none."""
    words = arguments(pid)
    if words:
        return " ".join(words).strip()
    found = stat(pid)
    return f"[{found.comm}]" if found else ""


def identify(pid: int) -> Process | None:
    """The live process that has this pid now."""
    found = stat(pid)
    if found is None or not found.alive:
        return None
    return Process(pid=pid, start_ticks=found.start_ticks, command=command(pid))


def table() -> dict[int, Stat]:
    """All live processes, by pid."""
    found = (stat(int(entry.name)) for entry in PROC.iterdir() if entry.name.isdigit())
    return {one.pid: one for one in found if one is not None and one.alive}


def children(pid: int, processes: Mapping[int, Stat]) -> list[int]:
    """Direct children, by pid."""
    return sorted(one.pid for one in processes.values() if one.parent == pid)


def descendants(pid: int, processes: Mapping[int, Stat]) -> list[int]:
    """Children, their children and so on, by pid; without the process itself."""
    found: set[int] = set()
    frontier = [pid]
    while frontier:
        fresh = [child for parent in frontier for child in children(parent, processes) if child not in found]
        found.update(fresh)
        frontier = fresh
    return sorted(found - {pid})


def ancestors(pid: int, processes: Mapping[int, Stat]) -> list[int]:
    """Parent, its parent and so on, nearest first."""
    found: list[int] = []
    current = processes.get(pid)
    while current is not None and current.parent in processes and current.parent not in found:
        found.append(current.parent)
        current = processes.get(current.parent)
    return found


def is_launcher(pid: int) -> bool:
    """Whether the process is a shell or wrapper whose job is to start another program."""
    words = arguments(pid)
    return bool(words) and launches(words[0])


def launches(program: str) -> bool:
    """Whether a program, by its first argument, is one whose job is to start another."""
    return Path(program.lstrip("-")).name in LAUNCHERS


def matching(pids: Iterable[int], pattern: str) -> list[Process]:
    """Live processes among `pids` whose command line contains the pattern, by pid."""
    regex = re.compile(pattern)
    found = (identify(pid) for pid in sorted(pids))
    return [one for one in found if one is not None and regex.search(one.command)]
