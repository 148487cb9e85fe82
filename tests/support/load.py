"""A real probe with everything it said, for tests that wait for conditions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil

from monitor.clock import SystemClock
from probes.probe import Probe
from probes.record import Gap, ProbeEvent, Record, SegmentClosed
from probes.spec import EndpointSpec, ProbeSpec

DEADLINE_SECONDS = 120.0
"""aiperf needs 4 s of processor time to start; on a busy machine that is half a minute and more."""

T = TypeVar("T")


class Load:
    """A probe against an address; `events` in the order in which they came."""

    def __init__(self, url: str, directory: Path, **spec: Any) -> None:
        self.clock = SystemClock()
        self.events: list[ProbeEvent] = []
        # model_copy does not validate: tests rotate far more often than a user may.
        self.spec = ProbeSpec(name="load").model_copy(update=spec)
        self.directory = directory
        endpoint = EndpointSpec(url=url, model="scripted")
        self.probe = Probe(
            self.spec, endpoint, directory, from_monotonic=self.clock.from_monotonic, sink=self.events.append
        )

    @property
    def records(self) -> list[Record]:
        return [e for e in self.events if isinstance(e, Record)]

    @property
    def gaps(self) -> list[Gap]:
        return [e for e in self.events if isinstance(e, Gap)]

    @property
    def closed(self) -> list[SegmentClosed]:
        return [e for e in self.events if isinstance(e, SegmentClosed)]

    def by_id(self) -> dict[str, Record]:
        """Records by request id; a request that is recorded twice is an error."""
        found = {r.request_id: r for r in self.records}
        assert len(found) == len(self.records)
        return found

    async def until_up(self) -> None:
        """Wait for the first requests."""
        await until(lambda: self.probe.state().up, "the probe is up")


async def until(condition: Callable[[], T], what: str, *, seconds: float = DEADLINE_SECONDS) -> T:
    """The condition's first true value. Raises AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds:.0f} s: {what}"
        await asyncio.sleep(0.01)
    return value


def processes_below(folder: Path) -> list[psutil.Process]:
    """Living processes that work in a folder or below it: aiperf and its children, wherever they were reparented."""
    found = []
    for process in psutil.process_iter():
        try:
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found
