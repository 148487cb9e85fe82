"""Takes requests for runs, lets one live at a time, and keeps every promise to put things back."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from faults.base import Fault, FaultError, Instance, KnowsRights, NotInjected, Objectives
from faults.entry import FaultEntry
from monitor.catalogue import find, with_changes
from monitor.config.settings import GuardSpec
from monitor.model import Phase, Run, Transition, Verdict
from monitor.run import recovery
from monitor.run.abort import AbortSignal
from monitor.run.guard import (
    ProbeView,
    Refusal,
    Rule,
    Situation,
    percent_refusal,
    refusal,
    rights_refusal,
)
from monitor.run.life import NO_TARGET, Parts, RunLife, populations
from monitor.run.promises import Promises
from monitor.run.requests import DryRun, RecoverReport, Request, RunRefused, Stopped
from monitor.store.errors import StoreError
from monitor.store.ids import new_run_id

log = logging.getLogger(__name__)

STOP_FLAG = "stopped"


class EngineStore(recovery.RunStore, Protocol):
    """The part of the store that the engine needs."""

    def flag(self, name: str) -> dict[str, Any] | None: ...

    def set_flag(self, name: str, value: dict[str, Any] | None) -> None: ...


@dataclass(slots=True)
class Active:
    """The run that is alive, or about to be."""

    run_id: str
    abort: AbortSignal = field(default_factory=AbortSignal)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the request is stored and the run lives, or when it could not be stored."""
    life: RunLife | None = None
    task: asyncio.Task[Run] | None = None


@dataclass(slots=True)
class Engine:
    """One engine a deployment. All methods run on the event loop."""

    deployment: str
    entries: Mapping[str, FaultEntry]
    parts: Parts
    store: EngineStore
    guard: GuardSpec
    probe_views: Callable[[], list[ProbeView]]
    store_trouble: Callable[[], str | None]
    on_refused: Callable[[Run, Refusal], None] = lambda _run, _refusal: None
    seconds_since_clock_step: Callable[[], float | None] = lambda: None
    may_act: Callable[[], str | None] = lambda: None
    """Why nothing may be touched now, where several replicas take turns."""
    stopped: Stopped | None = None
    active: Active | None = None
    _last_end_ns: int | None = None
    _shutting_down: bool = False
    promises: Promises = field(init=False)

    def __post_init__(self) -> None:
        self.promises = Promises(self.store, lambda: self.parts)

    # --- start and end ----------------------------------------------------------------------

    async def start(self) -> list[Run]:
        """Revert and close what an earlier process left behind; returns those runs. Then accept requests."""
        flag = await asyncio.to_thread(self.store.flag, STOP_FLAG)
        self.stopped = Stopped.model_validate(flag) if flag else None
        left = await recovery.reconcile(self.store, self.parts.target, self.parts.clock)
        for run in left:
            self.parts.on_change(run)
        self.promises.begin(left)
        return left

    async def shutdown(self, reason: str) -> None:
        """Abort the active run, wait until it is reverted and recorded, and take no more."""
        self._shutting_down = True
        await self._abort_active(reason)
        await self.promises.end()

    async def abandon(self) -> None:
        """Drop everything as it is: another process reverts. No further word is stored, no request is taken."""
        self._shutting_down = True
        task = self.active.task if self.active is not None else None
        tasks = [one for one in (self.promises.task(), task) if one is not None]
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- requests ---------------------------------------------------------------------------

    async def submit(self, request: Request) -> Run:
        """Begin a run. Raises `RunRefused`, `UnknownFault`, `BadChange` or `StoreError`; the run lives on in the background."""
        entry = find(self.entries, request.fault)
        fault = with_changes(entry.fault, request.changes)
        run = self._new_run(request, fault, entry.objectives)
        refused = refusal(fault, self.situation(), self.guard, self.parts.spec.baseline_seconds)
        if refused is not None:
            raise RunRefused(refused, await self._record_refusal(run, refused))
        active = Active(run.id)
        self.active = active  # taken before the first await, so that two requests cannot both pass
        try:
            refused = await self._without_rights(fault)
            if refused is not None:
                raise RunRefused(refused, await self._record_refusal(run, refused))
            await asyncio.to_thread(self.parts.save, run)
            active.life = RunLife(run, fault, self._parts_for_life(), active.abort)
            active.task = asyncio.create_task(self._live(active, active.life))
        finally:
            if active.task is None:
                self.active = None
            active.begun.set()
        self.parts.on_change(run)
        return run

    async def dry_run(self, request: Request) -> DryRun:
        """Resolve and judge, touch nothing. Raises `UnknownFault`, `BadChange`."""
        entry = find(self.entries, request.fault)
        fault = with_changes(entry.fault, request.changes)
        refused = refusal(fault, self.situation(), self.guard, self.parts.spec.baseline_seconds)
        refused = refused or await self._without_rights(fault)
        reason = refused.reason if refused else None
        instances: tuple[Instance, ...] = ()
        target = self.parts.target or NO_TARGET
        seed = request.seed if request.seed is not None else self.parts.clock.now_ns()
        try:
            instances = await fault.resolve(target, random.Random(seed))  # noqa: S311 - reproducible choice
            reason = reason or self._percent(fault, instances, await populations(target, instances))
        except (NotInjected, FaultError) as error:
            reason = reason or f"not_injected: {error}"
        return DryRun(
            fault=request.fault,
            spec=fault.model_dump(mode="json"),
            instances=instances,
            would_be_refused=reason,
            passing=refused is not None and refused.passing,
        )

    @property
    def stuck(self) -> int:
        """How many runs are over and could not be put back yet."""
        return len(self.promises.stuck)

    def situation(self) -> Situation:
        """What the guard judges by, now."""
        now = self.parts.clock.now_ns()
        return Situation(
            stopped_reason=self.stopped.reason if self.stopped else None,
            shutting_down=self._shutting_down,
            active_run=self.active.run_id if self.active else None,
            stuck_run=next(iter(self.promises.stuck), None),
            seconds_since_last_run=(now - self._last_end_ns) / 1e9 if self._last_end_ns is not None else None,
            seconds_since_clock_step=self.seconds_since_clock_step(),
            has_target=self.parts.target is not None,
            store_trouble=self.store_trouble(),
            probes=self.probe_views(),
            lease_trouble=self.may_act(),
        )

    # --- switches ---------------------------------------------------------------------------

    async def stop(self, reason: str, by: str) -> tuple[Stopped, RecoverReport]:
        """Emergency stop: block new runs until `resume`, revert everything. Kept over restarts."""
        self.stopped = Stopped(since_ns=self.parts.clock.now_ns(), reason=reason, by=by)
        stored = asyncio.create_task(asyncio.to_thread(self.store.set_flag, STOP_FLAG, self.stopped.model_dump()))
        report = await self.recover(None, f"stopped: {reason}")
        try:
            await stored
        except StoreError as error:
            log.error("the stop holds in memory but could not be stored: %s", error)  # noqa: TRY400 - the text says it all
        return self.stopped, report

    async def resume(self) -> None:
        """Release the emergency stop. Raises StoreError and stays stopped when that cannot be stored."""
        await asyncio.to_thread(self.store.set_flag, STOP_FLAG, None)
        self.stopped = None

    def abort_active(self, reason: str) -> None:
        """Tell the active run, if any, to revert and end; does not wait for it."""
        if self.active is not None:
            self.active.abort.set(reason)

    async def recover(self, run_id: str | None, reason: str) -> RecoverReport:
        """Put back one run (or all): abort it if it is alive, else revert its open receipt."""
        reverted: list[dict[str, str]] = []
        failed: list[dict[str, str]] = []
        ended: Run | None = None
        if self.active is not None and run_id in (None, self.active.run_id):
            ended = await self._abort_active(reason)
            if ended is not None:
                self._sort(ended, reverted, failed)
        for run in list(self.promises.stuck.values()):
            # One that was aborted just now has been tried already, and is told once.
            if run_id in (None, run.id) and (ended is None or run.id != ended.id):
                self._sort(await self.promises.retry(run), reverted, failed)
        return RecoverReport(reverted=tuple(reverted), failed=tuple(failed))

    # --- inside -----------------------------------------------------------------------------

    def _new_run(self, request: Request, fault: Fault, objectives: Objectives) -> Run:
        now = self.parts.clock.now_ns()
        seed = request.seed if request.seed is not None else now % 2**31
        return Run(
            id=new_run_id(now),
            fault_name=request.fault,
            fault=fault.model_dump(mode="json"),
            deployment=self.deployment,
            requested_by=request.requested_by,
            seed=seed,
            objectives=objectives,
            t_requested=now,
            transitions=(Transition(phase=Phase.REQUESTED, at_ns=now),),
        )

    async def _record_refusal(self, run: Run, refused: Refusal) -> Run | None:
        now = self.parts.clock.now_ns()
        end = Transition(phase=Phase.FINISHED, at_ns=now, note=refused.reason)
        skipped = run.model_copy(
            update={
                "phase": Phase.FINISHED,
                "verdict": Verdict.SKIPPED,
                "reason": refused.reason,
                "t_finished": now,
                "transitions": (*run.transitions, end),
            }
        )
        self.on_refused(skipped, refused)
        try:
            await asyncio.to_thread(self.parts.save, skipped)
        except StoreError as error:
            log.warning("refusal of %s could not be stored: %s", run.fault_name, error)
            return None
        return skipped

    def _parts_for_life(self) -> Parts:
        return Parts(
            clock=self.parts.clock,
            save=self.parts.save,
            target=self.parts.target,
            witnesses=self.parts.witnesses,
            spec=self.parts.spec,
            state_root=self.parts.state_root,
            on_change=self.parts.on_change,
            check_resolved=self._percent,
        )

    async def _without_rights(self, fault: Fault) -> Refusal | None:
        """What the cluster would not let us do, asked beforehand where it can be asked."""
        target = self.parts.target
        if not isinstance(target, KnowsRights):
            return None
        try:
            return rights_refusal(fault.kind, await target.missing_rights(fault.facts.permissions))
        except FaultError as error:
            return Refusal(Rule.TARGET, f"whether the rights are there cannot be told: {error}", for_now=True)

    def _percent(self, _fault: Fault, instances: tuple[Instance, ...], sizes: Mapping[str, int]) -> str | None:
        refused = percent_refusal(instances, sizes, self.guard)
        return refused.reason if refused else None

    async def _live(self, active: Active, life: RunLife) -> Run:
        run = await life.live()
        await self.promises.take(run)
        self._last_end_ns = self.parts.clock.now_ns() if run.t_inject is not None else self._last_end_ns
        if self.active is active:
            self.active = None
        return run

    async def _abort_active(self, reason: str) -> Run | None:
        active = self.active
        if active is None:
            return None
        active.abort.set(reason)
        await active.begun.wait()
        if active.task is None:
            return None
        return await asyncio.shield(active.task)

    @staticmethod
    def _sort(run: Run, reverted: list[dict[str, str]], failed: list[dict[str, str]]) -> None:
        if run.receipt_open:
            failed.append({"run_id": run.id, "reason": run.notes[-1] if run.notes else run.reason})
        else:
            outcome = "nothing_to_do" if run.t_reverted is None else "reverted"
            reverted.append(
                {"run_id": run.id, "outcome": outcome, "summary": run.observations[-1] if run.observations else ""}
            )
