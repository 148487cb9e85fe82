"""The life of one run, from guarded to finished.

Each transition is stored before the next step begins, and the receipt before the fault acts. Whatever
happens after the receipt is stored (an abort, a full store, a fault that did not take effect), the
revert comes first and the words come later.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from faults.base import (
    Fault,
    FaultError,
    Instance,
    NotInjected,
    PlanContext,
    Receipt,
    RevertFailed,
    RevertResult,
    Target,
)
from monitor.clock import Clock
from monitor.config.settings import RunSpec
from monitor.measure.client import Progress, RunTimes
from monitor.measure.compare import compare
from monitor.measure.objectives import judge
from monitor.model import Phase, Run, Transition, Verdict, WitnessReport
from monitor.run.abort import Aborted, AbortSignal
from monitor.store.errors import StoreError

log = logging.getLogger(__name__)

OBSERVE_EVERY_SECONDS = 0.5
SETTLE_EVERY_SECONDS = 1.0
CLOCK_STEP_NS = 50_000_000
"""Differences of the two clocks below this are the two readings being apart, not a step."""


class Refused(Exception):
    """A rule that could be judged only after resolving refused the run."""


class Witnesses(Protocol):
    """The witnesses as a run sees them."""

    async def progress(self, times: RunTimes) -> Progress:
        """Whether the client witness has seen enough."""
        ...

    async def measure(self, times: RunTimes) -> tuple[WitnessReport, ...]:
        """All reports; never raises for a source's trouble."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What every run of a service shares."""

    clock: Clock
    save: Callable[[Run], None]
    """Durable when it returns; raises StoreError. Called in a thread."""
    target: Target | None
    witnesses: Witnesses
    spec: RunSpec
    state_root: Path
    on_change: Callable[[Run], None]
    """Told of every transition, after it was stored."""
    check_resolved: Callable[[Fault, tuple[Instance, ...], int], str | None] = lambda _fault, _instances, _population: (
        None
    )
    """Refusal text for what was resolved, given the size of the component."""


@dataclass(slots=True)
class RunLife:
    """Carries one run through its phases. `run` is replaced, never changed."""

    run: Run
    fault: Fault
    parts: Parts
    abort: AbortSignal = field(default_factory=AbortSignal)
    _step_ns: int = 0

    async def live(self) -> Run:
        """Run to the end; always returns a finished run, and never leaves a fault acting if it can be reverted."""
        self._step_ns = self.parts.clock.step_ns()
        try:
            await self._through()
        except Aborted as abort:
            await self._end_early(Verdict.ABORTED, str(abort))
        except StoreError as error:
            await self._end_early(Verdict.ABORTED, f"results cannot be stored: {error}")
        except NotInjected as error:
            self._update(evidence=error.evidence or self.run.evidence)
            await self._end_early(Verdict.NOT_INJECTED, str(error))
        except Refused as refusal:
            await self._end_early(Verdict.SKIPPED, str(refusal))
        except FaultError as error:
            await self._end_early(Verdict.ABORTED, str(error))
        except Exception as error:
            log.exception("run %s failed", self.run.id)
            await self._end_early(Verdict.ABORTED, f"internal error: {type(error).__name__}: {error}")
        return self.run

    async def _through(self) -> None:
        await self._enter(Phase.GUARDED)
        receipt = await self._resolve_and_plan()
        await self._inject(receipt)
        await self._hold(receipt)
        await self._revert(receipt)
        await self._settle()
        await self._finish()

    # --- phases -----------------------------------------------------------------------------

    async def _resolve_and_plan(self) -> Receipt:
        instances = await self.abort.race(self.fault.resolve(self._target, random.Random(self.run.seed)))  # noqa: S311 - reproducible choice
        population = len(await self._target.instances(instances[0].component)) if instances else 0
        refused = self.parts.check_resolved(self.fault, instances, population)
        if refused:
            raise Refused(refused)
        await self._enter(Phase.RESOLVED, instances=instances, note=", ".join(i.name for i in instances))
        state_dir = self.parts.state_root / self.run.id
        state_dir.mkdir(parents=True, exist_ok=True)
        context = PlanContext(self.run.id, self._now, time.monotonic_ns(), state_dir.absolute())
        receipt = self.fault.plan(instances, context)
        await self._enter(Phase.PLANNED, receipt=receipt, receipt_open=True)
        return receipt

    async def _inject(self, receipt: Receipt) -> None:
        if self.abort.is_set:
            raise Aborted(self.abort.reason)
        self._update(t_inject=self._now)
        await self.abort.race(self.fault.inject(receipt, self._target))
        await self._enter(Phase.INJECTED)
        evidence = await self.abort.race(self.fault.verify(receipt, self._target))
        t_effect = self.parts.clock.from_monotonic(evidence.at_monotonic_ns)
        await self._enter(Phase.EFFECTIVE, evidence=evidence, t_effect=t_effect, note=evidence.summary)

    async def _hold(self, receipt: Receipt) -> None:
        """Watch a fault with a duration until its deadline; it may end earlier, which is said."""
        deadline = receipt.deadline_monotonic_ns
        while deadline is not None:
            left = (deadline - time.monotonic_ns()) / 1e9
            if left <= 0:
                return
            await self.abort.sleep(min(OBSERVE_EVERY_SECONDS, left))
            seen = await self.abort.race(self.fault.observe(receipt, self._target))
            if seen.ended_early:
                self._note_observation(f"ended early: {seen.ended_early}")
                self._update(t_effect_ended=self._now)
                return
            if not seen.acting:
                self._note_observation(seen.summary)
                return
            await self._watch_replacement()

    async def _revert(self, receipt: Receipt) -> None:
        result = await self._revert_with_retries(receipt)
        at = self.parts.clock.from_monotonic(result.at_monotonic_ns)
        changes: dict[str, Any] = {"receipt_open": False}
        if result.outcome == "nothing_to_do":
            changes["notes"] = self.run.notes
        else:
            changes |= {"t_reverted": at, "t_clean": self._now}
        self._note_observation(result.summary)
        await self._enter(Phase.REVERTED, note=result.summary, **changes)

    async def _settle(self) -> None:
        """Wait until the client witness has seen recovery held, or the horizon ends."""
        ended = self.run.t_reverted or self.run.t_effect or self._now
        horizon = ended + round(self.parts.spec.horizon_seconds * 1e9)
        earliest = ended + round(self.parts.spec.observe_seconds * 1e9)
        progress = None
        while self._now < horizon:
            await self.abort.sleep(SETTLE_EVERY_SECONDS)
            await self._watch_replacement()
            progress = await self.abort.race(self.parts.witnesses.progress(self.times(self._now, ended=False)))
            if progress.settled and self._now >= earliest:
                break
        note = progress.reason if progress else ""
        await self._enter(Phase.SETTLED, note=note)

    async def _finish(self) -> None:
        horizon = self._now
        times = self.times(horizon, ended=True)
        reports = await self.parts.witnesses.measure(times)
        client = next((r for r in reports if r.witness == "client" and r.probe is None), None)
        verdict = (client.verdict if client else None) or Verdict.INCONCLUSIVE
        reason = client.reason if client else "no client witness"
        results = judge(self.run.objectives, client) if client else ()
        self._note_clock_step()
        await self._enter(
            Phase.FINISHED,
            t_finished=self._now,
            verdict=verdict,
            reason=reason,
            witnesses=reports,
            comparisons=compare(reports),
            objective_results=results,
        )

    # --- ending early -----------------------------------------------------------------------

    async def _end_early(self, verdict: Verdict, reason: str) -> None:
        """Revert first, then record why. A failing store cannot stop the revert."""
        receipt = self.run.receipt
        if receipt is not None and self.run.receipt_open:
            try:
                result = await self._revert_with_retries(receipt)
            except RevertFailed as error:
                verdict, reason = Verdict.REVERT_FAILED, f"{reason}; revert failed: {error}"
            else:
                at = self.parts.clock.from_monotonic(result.at_monotonic_ns)
                reverted_at = at if result.outcome != "nothing_to_do" else None
                self._note_observation(result.summary)
                # In memory first: what is reverted stays reverted, also when the store refuses to hear it.
                self._update(receipt_open=False, t_reverted=reverted_at, t_clean=self._now)
                with contextlib.suppress(StoreError):
                    await self._enter(Phase.REVERTED, note=result.summary)
        self._note_clock_step()
        reports: tuple[WitnessReport, ...] = ()
        if self.run.t_effect is not None:
            reports = await self.parts.witnesses.measure(self.times(self._now, ended=True))
        try:
            await self._enter(
                Phase.FINISHED, t_finished=self._now, verdict=verdict, reason=reason, witnesses=reports, note=reason
            )
        except StoreError as error:
            log.error("run %s: its end is kept in memory: %s", self.run.id, error)  # noqa: TRY400 - the text says it all

    async def _revert_with_retries(self, receipt: Receipt) -> RevertResult:
        last: FaultError = RevertFailed("not tried")
        for attempt in range(3):
            try:
                async with asyncio.timeout(self.parts.spec.revert_timeout_seconds):
                    return await self.fault.revert(receipt, self.parts.target)
            except FaultError as error:
                last = error
            except TimeoutError:
                last = RevertFailed(f"no answer within {self.parts.spec.revert_timeout_seconds:g} s")
            log.warning("run %s: revert attempt %d failed: %s", self.run.id, attempt + 1, last)
        self._update(notes=(*self.run.notes, f"revert failed: {last}"))
        raise RevertFailed(str(last))

    # --- small parts ------------------------------------------------------------------------

    def times(self, observed_until: int, *, ended: bool) -> RunTimes:
        """The instants that the witnesses judge by."""
        run = self.run
        inject = run.t_inject if run.t_inject is not None else observed_until
        acting_until = run.t_effect_ended or run.t_reverted
        return RunTimes(
            t_inject=inject,
            t_effect=run.t_effect,
            t_acting_until=acting_until,
            t_reverted=run.t_reverted,
            observed_until=observed_until,
            horizon_ended=ended,
        )

    @property
    def _now(self) -> int:
        return self.parts.clock.now_ns()

    @property
    def _target(self) -> Target:
        return self.parts.target if self.parts.target is not None else NO_TARGET

    def _update(self, **changes: Any) -> None:
        self.run = self.run.model_copy(update=changes)

    def _note_observation(self, text: str) -> None:
        if text and text not in self.run.observations:
            self._update(observations=(*self.run.observations, text))

    def _note_clock_step(self) -> None:
        step = self.parts.clock.step_ns() - self._step_ns
        if abs(step) > CLOCK_STEP_NS:
            note = f"the system clock stepped by {step / 1e9:+.3f} s during the run; all client windows are on the monotonic clock"
            self._update(notes=(*self.run.notes, note))

    async def _watch_replacement(self) -> None:
        """Note when a new process stands, and answers, where we ended one."""
        if self.parts.target is None or self.run.t_ready is not None or not self.run.instances:
            return
        try:
            found = [await self.parts.target.replacement_of(i) for i in self.run.instances]
            fresh = [i for i in found if i is not None]
            if len(fresh) < len(self.run.instances):
                return
            if self.run.t_replaced is None:
                self._update(t_replaced=self._now)
            if all([await self.parts.target.ready(i) is not False for i in fresh]):
                self._update(t_ready=self._now)
        except FaultError as error:
            log.debug("run %s: replacement not seen: %s", self.run.id, error)

    async def _enter(self, phase: Phase, *, note: str = "", **changes: Any) -> None:
        """Store the next phase; only then is it true."""
        transitions = (*self.run.transitions, Transition(phase=phase, at_ns=self._now, note=note))
        self._update(phase=phase, transitions=transitions, **changes)
        await asyncio.to_thread(self.parts.save, self.run)
        self.parts.on_change(self.run)


class _NoTarget:
    """Stands in when no target is configured; only `none` gets here."""

    name = "none"

    async def components(self) -> list[str]:
        return []

    async def instances(self, component: str) -> list[Instance]:
        raise FaultError(f"no deployment.target is configured, so {component!r} cannot be found")

    async def exit_of(self, process: object) -> None:
        return None

    async def replacement_of(self, instance: Instance) -> None:
        return None

    async def ready(self, instance: Instance) -> None:
        return None

    async def close(self) -> None:
        return None


NO_TARGET: Target = _NoTarget()
