"""The aiperf processes of one probe: started, replaced when they die, handed over from one to the next.

Hand-over: the successor is launched while the old process sends, and the old one is held only once the successor has
sent its first request. However long a start takes, and if it fails, the load goes on. All instants are monotonic.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from probes.command import SegmentPaths
from probes.parse import Context
from probes.segment import Segment, launch
from probes.spec import EndpointSpec, ProbeSpec
from probes.tail import SegmentTail
from probes.tokenizer import write_tokenizer

log = logging.getLogger(__name__)

SECOND_NS = 1_000_000_000
STARTUP_SECONDS = 120.0
"""A process that has sent nothing after this is replaced."""
SETTLED_SECONDS = 10.0
"""A process that lived so long after its first request did not fail at once: the next one need not wait."""
BACK_OFF_SECONDS = (0.0, 1.0, 2.0, 4.0, 8.0, 10.0)
DRAIN_EXTRA_SECONDS = 5.0
HOLD_SECONDS = 1.0
"""A held process is not stopped sooner: a request that passed the hold in the last moment is in the journal by then."""


class Fleet:
    """Decides which processes run. `on_death` is told why one ended before its time, and whether any still sends."""

    def __init__(
        self,
        spec: ProbeSpec,
        endpoint: EndpointSpec,
        directory: Path,
        from_monotonic: Callable[[int], int],
        on_death: Callable[[str, bool], None],
    ) -> None:
        self.spec = spec
        self.live: list[Segment] = []
        self._endpoint = endpoint
        self._directory = directory
        self._from_monotonic = from_monotonic
        self._on_death = on_death
        self._startup_ns = 8 * SECOND_NS
        self._early_deaths = 0
        self._launch_at_ns = 0

    def prepare(self) -> None:
        """Make the directory, without what an earlier process left. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for stale in self._directory.glob("segment-*"):
            shutil.rmtree(stale, ignore_errors=True)
        if self.spec.tokenizer == "builtin":
            write_tokenizer(self._directory / "tokenizer")

    @property
    def sender(self) -> Segment | None:
        """The newest process that has sent and may go on sending."""
        sending = [s for s in self.live if s.first_start_ns is not None and not s.retiring and not s.exited]
        return sending[-1] if sending else None

    def first_request(self, segment: Segment, at_ns: int) -> None:
        """A process has begun to send."""
        segment.first_start_ns = at_ns
        took = at_ns - segment.launched_ns
        self._startup_ns = max(took, (self._startup_ns + took) // 2)

    async def launch(self, now: int) -> None:
        """Start one more process. Raises OSError."""
        number = self._next_number()
        paths = SegmentPaths(self._directory / f"segment-{number:06d}")
        tail = SegmentTail(Context(self.spec, number, self._from_monotonic), paths)
        try:
            segment = await launch(self.spec, self._endpoint, number, tail, paths, now_ns=now)
        except OSError:
            shutil.rmtree(paths.root, ignore_errors=True)
            raise
        self.live.append(segment)

    async def step(self, now: int) -> None:
        """Look at every process once and do what is due; call it after the files were read."""
        for segment in self.live:
            if segment.exited and segment.stopping is None:
                self._died(segment, segment.why_it_died(), now)
        self._hand_over(now)
        for segment in self.live:
            self._replace_if_stuck(segment, now)
        if self._wants_successor(now):
            try:
                await self.launch(now)
            except OSError as error:
                self._back_off(f"aiperf could not be started: {error}", now, early=True)

    def finished(self) -> list[Segment]:
        """Processes that are gone with all their children: their files are complete."""
        return [s for s in self.live if s.stopping is not None and s.stopping.done()]

    async def stop(self) -> None:
        """Stop all at once; about ten seconds at most."""
        for segment in self.live:
            segment.begin_stop("the probe was stopped")
        await asyncio.gather(*(s.stopping for s in self.live if s.stopping is not None))

    def _hand_over(self, now: int) -> None:
        sender = self.sender
        patience = round((self.spec.request_timeout_seconds + DRAIN_EXTRA_SECONDS) * SECOND_NS)
        for segment in self.live:
            if sender is not None and segment.number < sender.number and not segment.retiring:
                segment.hold(now)
            if segment.held_ns is None:
                continue
            held = now - segment.held_ns
            drained = not segment.tail.books.in_flight and held > HOLD_SECONDS * SECOND_NS
            if drained or held > patience:
                segment.begin_stop("its successor took over")

    def _replace_if_stuck(self, segment: Segment, now: int) -> None:
        if segment.retiring or segment.exited:
            return
        last = segment.last_start_ns
        silent = now - (last or segment.launched_ns)
        limit = STARTUP_SECONDS * SECOND_NS if last is None else max(5 * SECOND_NS, 10 * self.spec.interval_ns)
        if silent > limit:
            since = "launch" if last is None else "latest request"
            self._died(segment, f"aiperf sent nothing for {silent / 1e9:.0f} s since its {since}", now)

    def _died(self, segment: Segment, reason: str, now: int) -> None:
        first = segment.first_start_ns
        segment.begin_stop(reason, kill=True)
        log.warning("probe %s, segment %d: %s", self.spec.name, segment.number, reason)
        self._back_off(reason, now, early=first is None or now - first < SETTLED_SECONDS * SECOND_NS)

    def _back_off(self, reason: str, now: int, *, early: bool) -> None:
        self._early_deaths = self._early_deaths + 1 if early else 1
        wait = BACK_OFF_SECONDS[min(self._early_deaths, len(BACK_OFF_SECONDS)) - 1]
        self._launch_at_ns = now + round(wait * SECOND_NS)
        self._on_death(reason, self.sender is not None)

    def _wants_successor(self, now: int) -> bool:
        current = [s for s in self.live if not s.retiring and not s.exited]
        if now < self._launch_at_ns or len(current) > 1:
            return False
        if not current:
            return True
        first = current[0].first_start_ns
        rotate = round(self.spec.rotate_seconds * SECOND_NS)
        return first is not None and now - first >= max(rotate - self._startup_ns, rotate // 2)

    def _next_number(self) -> int:
        """Numbers go on over restarts, for as long as the directory is there.

        In a new directory they begin again; the instant of its start still tells such a request from its namesake.
        """
        counter = self._directory / "next_segment"
        try:
            number = int(counter.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            number = 0
        part = counter.with_suffix(".part")
        part.write_text(str(number + 1), encoding="ascii")
        part.replace(counter)
        return number
