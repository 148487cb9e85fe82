"""The life of one supervised instance: start, ready, end, start again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from faults.base import Exit
from faults.targets.child import Child
from faults.targets.readiness import passes
from faults.targets.spec import Prepared, ReadyCheck
from faults.targets.state import EventKind, InstanceInfo, InstanceState

log = logging.getLogger(__name__)

READY_EVERY_SECONDS = 0.2
CANNOT_START = 127

Report = Callable[["Runner", EventKind | None, Exit | None], None]
"""Told of every change, after the runner's own fields have changed; without an event, only its state has."""


class Runner:
    """Keeps one instance running as its restart policy says. `live` is its whole life."""

    def __init__(
        self, prepared: Prepared, log_path: Callable[[], Path], environment: Mapping[str, str], report: Report
    ) -> None:
        self.prepared = prepared
        self._log_path = log_path
        self._environment = environment
        self._report = report
        self.state: InstanceState = "waiting"
        self.restarts = 0
        self.child: Child | None = None
        self._stopping = asyncio.Event()
        self._childless = asyncio.Event()
        self._was_ready: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    @property
    def info(self) -> InstanceInfo:
        """What instances.json says of it."""
        return InstanceInfo(
            component=self.prepared.component.name,
            name=self.prepared.name,
            pid=self.child.pid if self.child else None,
            start_ticks=self.child.start_ticks if self.child else None,
            command=" ".join(self.prepared.command),
            state=self.state,
            restarts=self.restarts,
        )

    async def live(self, after: Sequence[Runner]) -> None:
        """Wait for what it needs, then run, again and again, until it may not or need not."""
        for other in after:
            if not await asyncio.shield(other._was_ready):
                log.error("%s: not started, because %s gave up", self.prepared.name, other.prepared.name)
                self._give_up(None)
                return
        restart = self.prepared.component.restart
        while not self._stopping.is_set():
            how = await self._one_life()
            if self._stopping.is_set():
                return
            if restart.when == "never" or (restart.when == "on_failure" and how.code == 0):
                self._give_up(how)
                return
            self._change("waiting")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(restart.delay_seconds):
                    await self._stopping.wait()
            self.restarts += 1

    async def stop(self, seconds: float, hurry: asyncio.Event) -> None:
        """Ask it to end, wait, and kill what is left of its session; `hurry` ends the wait."""
        self._stopping.set()
        child = self.child
        if child is None:
            return
        child.ask_to_stop(signal.Signals[self.prepared.component.stop_signal])
        ended = asyncio.ensure_future(self._childless.wait())
        hurried = asyncio.ensure_future(hurry.wait())
        await asyncio.wait({ended, hurried}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not ended.done():
            log.warning("%s: killed, it did not end by %s", self.prepared.name, self.prepared.component.stop_signal)
            child.kill_session()
        await ended

    async def _one_life(self) -> Exit:
        try:
            self.child = Child.start(self.prepared, self._log_path(), self._environment)
        except OSError as error:
            log.error("%s: cannot be started: %s", self.prepared.name, error)  # noqa: TRY400 - the line says all
            return self._ended(Exit(code=CANNOT_START, at_monotonic_ns=time.monotonic_ns()))
        self._childless.clear()
        self._change("starting", "started")
        check = asyncio.create_task(self._become_ready(self.prepared.ready))
        try:
            how = await self.child.ended()
        finally:
            check.cancel()
        return self._ended(how)

    def _ended(self, how: Exit) -> Exit:
        # The event names the process, so the process is forgotten only after it.
        self._change("exited", "exited", how)
        self.child = None
        self._change("exited")
        self._childless.set()
        return how

    async def _become_ready(self, check: ReadyCheck | None) -> None:
        if check is not None:
            late = asyncio.get_running_loop().time() + check.timeout_seconds
            said = False
            while not await passes(check):
                if not said and asyncio.get_running_loop().time() >= late:
                    said = True
                    self._report(self, "not_ready", None)
                await asyncio.sleep(READY_EVERY_SECONDS)
        self._change("ready", "ready")
        if not self._was_ready.done():
            self._was_ready.set_result(True)

    def _give_up(self, how: Exit | None) -> None:
        self._change("exited", "gave_up", how)
        if not self._was_ready.done():
            self._was_ready.set_result(False)

    def _change(self, state: InstanceState, event: EventKind | None = None, how: Exit | None = None) -> None:
        self.state = state
        self._report(self, event, how)
