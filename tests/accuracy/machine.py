"""The machine below: what it kept from us, and a larger share of it.

What is proved here is the witness, not the machine: where neighbours take the processor, requests wait in the client
before they are sent, and a good answer takes seconds. So we ask for more of the processor where we may (root, Linux), say
so, and say how long the machine still held us up.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

NICE = -10
LOOK_SECONDS = 0.02


def set_share(pids: Iterable[int], nice: int = NICE) -> bool:
    """Set the share of the sessions that the processes lead (kernel autogroup). False where the kernel refuses."""
    granted = True
    for pid in pids:
        try:
            Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")
        except OSError:
            granted = False
    return granted


@contextlib.contextmanager
def larger_share() -> Iterator[bool]:
    """Our own session and all children have more of the processor while the block runs; yields whether that was granted."""
    me = os.getpid()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    granted = set_share([me])
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        granted = True
    try:
        yield granted
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
        set_share([me], 0)


@dataclass(slots=True)
class Lag:
    """How late a sleeper was woken: (monotonic ns, seconds late)."""

    seen: list[tuple[int, float]] = field(default_factory=list)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            due = time.monotonic_ns() + round(LOOK_SECONDS * 1e9)
            await asyncio.sleep(LOOK_SECONDS)
            now = time.monotonic_ns()
            self.seen.append((now, (now - due) / 1e9))

    def longest(self, begin_ns: int, end_ns: int) -> float:
        """The longest in a stretch, seconds; 0 where nothing was seen."""
        return max((late for at, late in self.seen if begin_ns <= at <= end_ns), default=0.0)

    def summary(self) -> str:
        """One line for the report."""
        late = sorted(late for _, late in self.seen)
        load = os.getloadavg()
        return (
            f"load average {load[0]:.1f} / {load[1]:.1f} / {load[2]:.1f} on {os.cpu_count()} processors; woken late by "
            f"{_at(late, 0.5) * 1e3:.1f} ms (median), {_at(late, 0.999) * 1e3:.0f} ms (99.9 %), {_at(late, 1) * 1e3:.0f} ms (longest)"
        )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
