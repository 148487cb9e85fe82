"""After a crash: revert what the store says was broken, and close its runs. Nothing is injected again."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from faults.base import FaultError, RevertResult, Target
from monitor.catalogue import fault_of
from monitor.clock import Clock, SystemClock
from monitor.config.settings import Settings
from monitor.model import Phase, Run, Transition, Verdict

log = logging.getLogger(__name__)

REVERT_SECONDS = 10.0


class RunStore(Protocol):
    """The part of the store that recovery needs."""

    def run(self, run_id_or_prefix: str) -> Run | None: ...

    def save_run(self, run: Run) -> None: ...

    def open_receipts(self) -> list[Run]: ...

    def unfinished(self) -> list[Run]: ...


async def reconcile(store: RunStore, target: Target | None, clock: Clock) -> list[Run]:
    """Revert all open receipts and end all unfinished runs as `aborted`. Returns them as they are now."""
    open_runs = await asyncio.to_thread(store.open_receipts)
    unfinished = await asyncio.to_thread(store.unfinished)
    ended = []
    for run in {r.id: r for r in (*open_runs, *unfinished)}.values():
        after = await revert_open(run, target, clock)
        after = _closed(after, clock) if after.phase is not Phase.FINISHED else after
        await asyncio.to_thread(store.save_run, after)
        log.warning("run %s (%s) was left in phase %s: %s", run.id, run.fault_name, run.phase, after.reason)
        ended.append(after)
    return ended


async def revert_open(run: Run, target: Target | None, clock: Clock) -> Run:
    """Revert from the receipt alone; a failure stays an open receipt with its reason in the notes."""
    if run.receipt is None or not run.receipt_open:
        return run
    try:
        async with asyncio.timeout(REVERT_SECONDS):
            result = await fault_of(run.receipt).revert(run.receipt, target)
    except (FaultError, TimeoutError) as error:
        reason = str(error) or f"no answer within {REVERT_SECONDS:g} s"
        changes: dict[str, object] = {"notes": (*run.notes, f"revert failed: {reason}")}
        if run.phase is Phase.FINISHED:
            changes["verdict"] = Verdict.REVERT_FAILED
        return run.model_copy(update=changes)
    return run.model_copy(update=_reverted(run, result, clock))


def _reverted(run: Run, result: RevertResult, clock: Clock) -> dict[str, object]:
    at = clock.from_monotonic(result.at_monotonic_ns) if result.outcome != "nothing_to_do" else None
    return {
        "receipt_open": False,
        "t_reverted": at,
        "t_clean": clock.now_ns(),
        "observations": (*run.observations, result.summary),
    }


def _closed(run: Run, clock: Clock) -> Run:
    now = clock.now_ns()
    if run.receipt_open:
        verdict, text = Verdict.REVERT_FAILED, f"the monitor ended in phase {run.phase}; the revert has not worked yet"
    elif run.receipt is not None:
        verdict, text = Verdict.ABORTED, f"the monitor ended in phase {run.phase}; reverted at the next start"
    else:
        verdict, text = Verdict.ABORTED, f"the monitor ended in phase {run.phase}, before anything was touched"
    end = Transition(phase=Phase.FINISHED, at_ns=now, note=text)
    return run.model_copy(
        update={
            "phase": Phase.FINISHED,
            "verdict": verdict,
            "reason": text,
            "t_finished": now,
            "transitions": (*run.transitions, end),
        }
    )


async def recover_offline(settings: Settings, run_id: str | None) -> list[Run]:
    """Put back open receipts with no service running, straight from the store. Raises StoreError, LookupError."""
    from monitor.store.store import Store  # noqa: PLC0415 - the store is only needed here
    from monitor.wiring import make_target, store_url  # noqa: PLC0415

    store = Store(store_url(settings))
    try:
        store.hold()
        runs = store.open_receipts()
        if run_id is not None:
            found = store.run(run_id)
            if found is None:
                raise LookupError(f"no run is called {run_id!r}")
            runs = [r for r in runs if r.id == found.id]
        target = make_target(settings)
        after = []
        for run in runs:
            done = await revert_open(run, target, SystemClock())
            store.save_run(done)
            after.append(done)
        return after
    finally:
        store.close()
