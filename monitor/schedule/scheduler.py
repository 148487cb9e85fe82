"""Fires schedules in time, on APScheduler.

Missed firings are never made up. A firing that comes later than `missed_after_seconds` (the machine slept,
the process was held up, the clock was set forward) is skipped with reason `missed`; after a long pause the
plan goes on from now. What was due while the service was down is not looked at: the plan of a new process
begins after its start, so a crash right after an injection cannot lead to a second one. A clock that is set
back fires nothing twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

from monitor.config.settings import ScheduleSpec
from monitor.schedule.plan import Firing, Planner

__all__ = ["Firing", "Planner", "Scheduler"]

log = logging.getLogger(__name__)

MISSED = "missed"
PAUSED = "paused"
SHOWN = 20
"""Firings that `describe` tells of each schedule."""
MOST_COUNTED = 1000
"""Missed firings that are counted one by one after a pause; a longer pause counts no more than these."""
LOOK_SECONDS = 15.0
"""How often the clock is looked at whatever is planned, so that a clock set forward is noticed."""


@dataclass(slots=True)
class _State:
    planner: Planner
    next: Firing | None = None
    skipped: Counter[str] = field(default_factory=Counter)


class Scheduler:
    """One APScheduler job a schedule, for its next firing only; all methods run on the event loop.

    `fire` returns the reason when it skipped the firing, else None. `on_skip` is told schedule and reason.
    """

    def __init__(
        self,
        specs: Iterable[ScheduleSpec],
        fire: Callable[[Firing], Awaitable[str | None]],
        *,
        on_skip: Callable[[str, str], None] = lambda _schedule, _reason: None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._states = {spec.name: _State(Planner(spec)) for spec in specs}
        self._fire = fire
        self._on_skip = on_skip
        self._now = now
        self._paused = False
        # Lateness is judged here, with a reason; APScheduler would drop late jobs on its own terms.
        self._jobs = AsyncIOScheduler(timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True})

    # --- switches ---------------------------------------------------------------------------

    def start(self) -> None:
        """Plan from now on. Needs a running event loop."""
        for name in self._states:
            self._plan_next(name, self._now())
        self._jobs.add_job(self._look, IntervalTrigger(seconds=LOOK_SECONDS), id="look", replace_existing=True)
        self._jobs.start()

    def stop(self) -> None:
        """Fire no more. Raises APScheduler's `SchedulerNotRunningError` when not started."""
        self._jobs.shutdown(wait=False)

    def pause(self) -> None:
        """Skip every firing with reason `paused` until `resume`."""
        self._paused = True

    def resume(self) -> None:
        """Fire again; nothing is made up."""
        self._paused = False

    # --- what others ask --------------------------------------------------------------------

    def next_by_schedule(self) -> dict[str, int]:
        """Next firing of each schedule that has one, in UTC nanoseconds."""
        return {name: to_ns(state.next.at) for name, state in self._states.items() if state.next is not None}

    def plan(self, count: int) -> dict[str, list[Firing]]:
        """The next `count` firings of every enabled schedule."""
        now = self._now()
        return {
            name: state.planner.plan(now, count) if state.planner.spec.enabled else []
            for name, state in self._states.items()
        }

    def describe(self, count: int = SHOWN) -> list[dict[str, Any]]:
        """Every schedule with its next firings and what was skipped, as data."""
        plans = self.plan(count)
        return [
            described(state.planner.spec, plans[name]) | {"skipped": dict(state.skipped)}
            for name, state in self._states.items()
        ]

    # --- inside -----------------------------------------------------------------------------

    async def due(self, firing: Firing) -> None:
        """A firing's time has come, or has passed by."""
        late = (self._now() - firing.at).total_seconds()
        state = self._states[firing.schedule]
        # The next one is planned first, so that no failure below can end the schedule.
        if late > state.planner.spec.missed_after_seconds:
            self._pass_over(state, firing)
            return
        self._plan_next(firing.schedule, firing.at)
        reason = PAUSED if self._paused else await self._fire(firing)
        if reason is not None:
            self._skip(firing.schedule, reason)

    def _pass_over(self, state: _State, firing: Firing) -> None:
        """Count what was missed and go on with the first firing that is still in time."""
        spec = state.planner.spec
        still_good = self._now() - timedelta(seconds=spec.missed_after_seconds)
        also = islice(state.planner.after(firing.at), MOST_COUNTED - 1)
        missed = 1 + sum(1 for _ in _until(also, still_good))
        log.warning("schedule %s: %d firings missed since %s", spec.name, missed, firing.at.isoformat())
        for _ in range(missed):
            self._skip(spec.name, MISSED)
        self._plan_next(spec.name, max(still_good, firing.at))

    def _skip(self, name: str, reason: str) -> None:
        self._states[name].skipped[reason] += 1
        self._on_skip(name, reason)

    def _plan_next(self, name: str, after: datetime) -> None:
        state = self._states[name]
        state.next = state.planner.next_after(after) if state.planner.spec.enabled else None
        if state.next is not None:
            # The id carries the instant: a job that runs right now must not be replaced by its successor.
            job = f"{name}@{state.next.at.isoformat()}"
            self._jobs.add_job(
                self.due, DateTrigger(state.next.at), args=[state.next], id=job, name=job, replace_existing=True
            )

    async def _look(self) -> None:
        """Does nothing; APScheduler compares all jobs with the clock when it runs one."""


def described(spec: ScheduleSpec, plan: Iterable[Firing]) -> dict[str, Any]:
    """A schedule and its plan, as /api/v1/schedules shows it."""
    return {
        "name": spec.name,
        "timezone": spec.timezone,
        "enabled": spec.enabled,
        "faults": list(spec.faults),
        "control_share": spec.control_share,
        "next": [{"at_ns": to_ns(firing.at), "fault": firing.fault} for firing in plan],
    }


def to_ns(at: datetime) -> int:
    """UTC nanoseconds, exact to the microsecond."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def _until(firings: Iterable[Firing], instant: datetime) -> Iterable[Firing]:
    for firing in firings:
        if firing.at > instant:
            return
        yield firing
