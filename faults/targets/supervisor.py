"""Runs the processes of a deployment and keeps the state folder that tells of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial

from faults import procfs
from faults.base import Exit
from faults.helper import reap
from faults.targets.runner import Runner
from faults.targets.spec import Prepared, start_order
from faults.targets.state import Event, EventKind, StateWriter, SupervisorInfo

log = logging.getLogger(__name__)

STOP_SECONDS = 10.0


class Supervisor:
    """Starts instances in the order that `start_after` asks for, and stops them in the reverse one."""

    def __init__(
        self, name: str, prepared: Sequence[Prepared], writer: StateWriter, environment: Mapping[str, str]
    ) -> None:
        self._name = name
        self._prepared = prepared
        self._writer = writer
        self._environment = environment
        self._runners: list[Runner] = []
        self._reaper: subprocess.Popen[str] | None = None

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT, then stop everything; a second signal kills what is left."""
        stop, hurry = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(signum, lambda: hurry.set() if stop.is_set() else stop.set())
        self._reaper = _start_reaper()
        self._runners = [
            Runner(one, partial(self._writer.log_of, one.name), self._environment, self._report)
            for one in self._prepared
        ]
        self._write_instances()
        self._writer.supervisor(_who_we_are(self._name))
        lives = [asyncio.create_task(runner.live(self._needed_by(runner))) for runner in self._runners]
        try:
            await stop.wait()
            await self._stop_all(hurry)
        finally:
            for life in lives:
                life.cancel()
            ended = await asyncio.gather(*lives, return_exceptions=True)
            self._end_reaper()
        for problem in ended:
            if isinstance(problem, Exception):
                raise problem

    def _needed_by(self, runner: Runner) -> list[Runner]:
        needed = runner.prepared.component.start_after
        return [other for other in self._runners if other.prepared.component.name in needed]

    async def _stop_all(self, hurry: asyncio.Event) -> None:
        for component in reversed(start_order([one.component for one in self._prepared])):
            runners = [one for one in self._runners if one.prepared.component.name == component]
            await asyncio.gather(*(runner.stop(STOP_SECONDS, hurry) for runner in runners))

    def _report(self, runner: Runner, kind: EventKind | None, how: Exit | None) -> None:
        """Keep the folder true. A full disk must not take the deployment down, so it is only logged."""
        self._tell_reaper(runner, kind)
        try:
            if kind is not None:
                event = _event(runner, kind, how)
                self._writer.event(event)
                _say(event)
            self._write_instances()
        except OSError as error:
            log.error("the state folder cannot be written: %s", error)  # noqa: TRY400 - the line says all

    def _write_instances(self) -> None:
        self._writer.instances([runner.info for runner in self._runners])

    def _tell_reaper(self, runner: Runner, kind: EventKind | None) -> None:
        sign = {"started": "+", "exited": "-"}.get(kind or "")
        if sign is None or runner.child is None or self._reaper is None or self._reaper.stdin is None:
            return
        # A reaper that somebody killed is a net less, and no reason to fall.
        with contextlib.suppress(BrokenPipeError):
            self._reaper.stdin.write(f"{sign}{runner.child.pid}\n")
            self._reaper.stdin.flush()

    def _end_reaper(self) -> None:
        if self._reaper is None:
            return
        # With the pipe closed it kills whatever outlived the stop, and ends.
        self._reaper.communicate()


def _who_we_are(name: str) -> SupervisorInfo:
    found = procfs.stat(os.getpid())
    return SupervisorInfo(pid=os.getpid(), start_ticks=found.start_ticks if found else 0, name=name)


def _start_reaper() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", reap.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        start_new_session=True,
        text=True,
    )


def _event(runner: Runner, kind: EventKind, how: Exit | None) -> Event:
    monotonic = how.at_monotonic_ns if how is not None else time.monotonic_ns()
    return Event(
        at_ns=time.time_ns() - (time.monotonic_ns() - monotonic),
        monotonic_ns=monotonic,
        event=kind,
        component=runner.prepared.component.name,
        instance=runner.prepared.name,
        pid=runner.child.pid if runner.child else None,
        start_ticks=runner.child.start_ticks if runner.child else None,
        signal=how.signal if how else None,
        code=how.code if how else None,
    )


def _say(event: Event) -> None:
    pid = f" (pid {event.pid})" if event.pid is not None else ""
    how = f", signal {event.signal}" if event.signal is not None else ""
    how += f", code {event.code}" if event.code is not None else ""
    log.info("%s%s %s%s", event.instance, pid, event.event.replace("_", " "), how)
