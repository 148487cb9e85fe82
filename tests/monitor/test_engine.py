"""The life of a run and the engine's promises, on a fault that obeys."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from faults.base import FaultError, Instance, Receipt, RevertResult, Target
from faults.entry import FaultEntry
from monitor.clock import SystemClock
from monitor.config.settings import GuardSpec, RunSpec
from monitor.model import Phase, Run, Verdict
from monitor.run.engine import STOP_FLAG, Engine
from monitor.run.guard import ProbeView, Rule
from monitor.run.life import Parts
from monitor.run.requests import Request, RunRefused
from monitor.store.errors import StoreError
from tests.support.fakes import FakeFault, FakeStore, FakeTarget, FakeWitnesses

ORDER = ["requested", "guarded", "resolved", "planned", "injected", "effective", "reverted", "settled", "finished"]


class Rig:
    """An engine over fakes."""

    def __init__(self, tmp_path: Path, store: FakeStore | None = None, **fault: Any) -> None:
        FakeFault.diary.clear()
        self.store = store or FakeStore()
        self.witnesses = FakeWitnesses()
        self.trouble: str | None = None
        self.seen: list[str] = []
        spec = RunSpec(observe_seconds=0, horizon_seconds=3, revert_timeout_seconds=1)
        entry = FaultEntry.model_construct(
            fault=FakeFault(**fault), objectives=FaultEntry.model_fields["objectives"].default
        )
        parts = Parts(
            clock=SystemClock(),
            save=self.store.save_run,
            target=FakeTarget(),
            witnesses=self.witnesses,
            spec=spec,
            state_root=tmp_path,
            on_change=lambda run: self.seen.append(f"{run.phase}"),
        )
        self.engine = Engine(
            deployment="d",
            entries={"fake": entry},
            parts=parts,
            store=self.store,
            guard=GuardSpec(cooldown_seconds=0),
            probe_views=lambda: [ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=0)],
            store_trouble=lambda: self.trouble,
        )

    async def submit(self) -> Run:
        return await self.engine.submit(Request(fault="fake", requested_by="test"))

    async def to_end(self) -> Run:
        await self.submit()
        assert self.engine.active is not None
        assert self.engine.active.task is not None
        return await self.engine.active.task

    async def until(self, entry: str) -> None:
        async with asyncio.timeout(5):
            while entry not in FakeFault.diary:
                await asyncio.sleep(0.01)


def go(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 30))  # type: ignore[arg-type]


def test_every_transition_is_stored_before_the_next_and_the_receipt_before_the_fault_acts(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    stored_when_injecting: list[Run] = []

    async def work() -> None:
        inject = FakeFault.inject

        async def spy(self: FakeFault, receipt: Receipt, target: Target) -> None:
            stored_when_injecting.extend(rig.store.saved[-1:])
            await inject(self, receipt, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FakeFault, "inject", spy)
            run = await rig.to_end()
        assert run.verdict is Verdict.RECOVERED
        assert [t.phase for t in run.transitions] == ORDER
        assert [r.phase for r in rig.store.saved] == ORDER
        assert FakeFault.diary == ["resolve", "inject", "verify", "revert"]
        before = stored_when_injecting[0]
        assert before.phase is Phase.PLANNED
        assert before.receipt is not None
        assert before.receipt_open
        assert not run.receipt_open

    go(work)


@pytest.mark.parametrize("verb", ["inject", "verify"])
def test_a_fault_without_effect_is_not_injected_and_is_reverted(tmp_path: Path, verb: str) -> None:
    rig = Rig(tmp_path, fail_at=verb)

    async def work() -> None:
        run = await rig.to_end()
        assert run.verdict is Verdict.NOT_INJECTED
        assert run.reason == f"failed at {verb}"
        assert FakeFault.diary[-1] == "revert"
        assert not run.receipt_open

    go(work)


def test_nothing_resolved_touches_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, fail_at="resolve")

    async def work() -> None:
        run = await rig.to_end()
        assert run.verdict is Verdict.NOT_INJECTED
        assert FakeFault.diary == ["resolve"]
        assert run.receipt is None

    go(work)


def test_the_second_of_two_requests_at_once_is_refused_with_the_holder(tmp_path: Path) -> None:
    rig = Rig(tmp_path, duration_seconds=1.0)

    async def work() -> None:
        results = await asyncio.gather(rig.submit(), rig.submit(), return_exceptions=True)
        runs = [r for r in results if isinstance(r, Run)]
        refused = [r for r in results if isinstance(r, RunRefused)]
        assert len(runs) == len(refused) == 1
        assert refused[0].refusal.holder == runs[0].id
        assert refused[0].run is not None
        assert refused[0].run.verdict is Verdict.SKIPPED
        stored = rig.store.run(refused[0].run.id)
        assert stored is not None
        assert stored.verdict is Verdict.SKIPPED
        await rig.until("inject")
        await rig.engine.shutdown("end of test")
        assert FakeFault.diary.count("inject") == 1

    go(work)


@pytest.mark.parametrize("stage", ["inject", "verify", "observe"])
def test_a_stop_in_any_stage_reverts_and_aborts(tmp_path: Path, stage: str) -> None:
    rig = Rig(tmp_path, duration_seconds=30.0, hang_at=stage)

    async def work() -> None:
        run = await rig.submit()
        await rig.until(stage)
        stopped, report = await rig.engine.stop("smoke", "test")
        assert [r["run_id"] for r in report.reverted] == [run.id]
        assert FakeFault.diary[-1] == "revert"
        ended = rig.store.run(run.id)
        assert ended is not None
        assert ended.verdict is Verdict.ABORTED
        assert "smoke" in ended.reason
        assert rig.store.flags[STOP_FLAG] == stopped.model_dump()
        with pytest.raises(RunRefused, match="stopped: smoke"):
            await rig.submit()

    go(work)


@pytest.mark.parametrize("stage", ["inject", "verify", "observe"])
def test_what_is_abandoned_is_left_as_it_is_for_another_process(tmp_path: Path, stage: str) -> None:
    rig = Rig(tmp_path, duration_seconds=30.0, hang_at=stage)

    async def work() -> None:
        run = await rig.submit()
        await rig.until(stage)
        saved = len(rig.store.saved)
        await rig.engine.abandon()
        assert FakeFault.diary[-1] == stage
        assert len(rig.store.saved) == saved
        with pytest.raises(RunRefused, match="shutting down"):
            await rig.submit()
        other = Rig(tmp_path, rig.store)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("monitor.run.recovery.fault_of", lambda _receipt: FakeFault())
            await other.engine.start()
        assert FakeFault.diary == ["revert"]
        ended = rig.store.run(run.id)
        assert ended is not None
        assert (ended.verdict, ended.receipt_open) == (Verdict.ABORTED, False)
        await other.engine.shutdown("end of test")

    go(work)


def test_nothing_begins_while_it_is_not_certain_who_leads(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.engine.may_act = lambda: "the lease could not be renewed in time"

    async def work() -> None:
        with pytest.raises(RunRefused, match="nothing may be touched now: the lease could not be renewed") as refused:
            await rig.submit()
        assert refused.value.refusal.rule is Rule.LEASE
        assert FakeFault.diary == []

    go(work)


def test_the_stop_is_kept_over_a_restart_until_resume(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def work() -> None:
        await rig.engine.stop("night", "test")
        again = Rig(tmp_path, store=rig.store)
        await again.engine.start()
        with pytest.raises(RunRefused, match="stopped: night"):
            await again.submit()
        await again.engine.resume()
        assert (await again.to_end()).verdict is Verdict.RECOVERED
        await again.engine.shutdown("end of test")

    go(work)


def test_an_active_run_whose_revert_fails_is_reported_once(tmp_path: Path) -> None:
    rig = Rig(tmp_path, duration_seconds=60, revert_failures=99)

    async def work() -> None:
        await rig.submit()
        await rig.until("observe")
        report = await rig.engine.recover(None, "enough")
        assert [one["reason"] for one in report.failed] == ["revert failed: not yet"]
        assert rig.engine.stuck == 1

    go(work)


def test_a_failing_revert_is_tried_again_until_it_works_and_blocks_new_runs(tmp_path: Path) -> None:
    rig = Rig(tmp_path, revert_failures=8)

    async def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("monitor.run.promises.RETRY_SECONDS", 0.05)
            patch.setattr("monitor.run.recovery.fault_of", lambda _receipt: FakeFault(revert_failures=8))
            await rig.engine.start()
            run = await rig.to_end()
            assert run.verdict is Verdict.REVERT_FAILED
            assert run.receipt_open
            with pytest.raises(RunRefused, match="not reverted yet"):
                await rig.submit()
            assert rig.engine.stuck == 1
            async with asyncio.timeout(5):
                while (now := rig.store.run(run.id)) is None or now.receipt_open:
                    await asyncio.sleep(0.02)
            assert (await rig.engine.dry_run(Request(fault="fake"))).would_be_refused is None
            assert rig.engine.stuck == 0
            await rig.engine.shutdown("end of test")

    go(work)


@pytest.mark.parametrize("phase", ["planned", "injected", "effective", "settled"])
def test_a_full_store_reverts_the_fault_and_aborts(tmp_path: Path, phase: str) -> None:
    rig = Rig(tmp_path, store=FakeStore(refuse_phase=phase))

    async def work() -> None:
        run = await rig.to_end()
        assert run.verdict is Verdict.ABORTED
        assert "disk full" in run.reason
        assert ("inject" in FakeFault.diary) == (phase != "planned")
        if "inject" in FakeFault.diary:
            assert FakeFault.diary[-1] == "revert"
        assert not run.receipt_open

    go(work)


def test_a_store_that_cannot_take_the_request_begins_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path, store=FakeStore(refuse_from=0))

    async def work() -> None:
        with pytest.raises(StoreError):
            await rig.submit()
        assert FakeFault.diary == []
        assert rig.engine.active is None

    go(work)


def test_a_result_that_could_not_be_stored_is_stored_later(tmp_path: Path) -> None:
    rig = Rig(tmp_path, store=FakeStore(refuse_phase="finished"))

    async def work() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("monitor.run.promises.RETRY_SECONDS", 0.05)
            await rig.engine.start()
            run = await rig.to_end()
            rig.store.refuse_phase = None
            async with asyncio.timeout(5):
                while (now := rig.store.run(run.id)) is None or now.phase is not Phase.FINISHED:
                    await asyncio.sleep(0.02)
            await rig.engine.shutdown("end of test")

    go(work)


def test_an_effect_that_ends_early_is_said(tmp_path: Path) -> None:
    rig = Rig(tmp_path, duration_seconds=20.0, end_early="SIGCONT by somebody else")

    async def work() -> None:
        run = await rig.to_end()
        assert "ended early: SIGCONT by somebody else" in run.observations
        assert run.t_effect_ended is not None

    go(work)


def test_never_settling_ends_at_the_horizon(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.witnesses.settled = False

    async def work() -> None:
        run = await rig.to_end()
        assert run.phase is Phase.FINISHED

    go(work)


@pytest.mark.parametrize("phase", ["requested", "resolved", "planned", "injected", "effective"])
def test_after_a_crash_the_next_start_reverts_and_never_injects_again(tmp_path: Path, phase: str) -> None:
    rig = Rig(tmp_path)

    async def work() -> None:
        await rig.to_end()
        left = FakeStore(saved=[r for r in rig.store.saved if ORDER.index(r.phase) <= ORDER.index(phase)])
        FakeFault.diary.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("monitor.run.recovery.fault_of", lambda _receipt: FakeFault())
            again = Rig(tmp_path, store=left)
            [run] = await again.engine.start()
        assert run.verdict is Verdict.ABORTED
        assert f"in phase {phase}" in run.reason
        assert run.phase is Phase.FINISHED
        assert not run.receipt_open
        assert FakeFault.diary == (["revert"] if phase in {"planned", "injected", "effective"} else [])
        assert left.saved[-1] == run
        await again.engine.shutdown("end of test")

    go(work)


def test_a_crash_with_a_revert_that_fails_keeps_the_receipt_open(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def fail(self: FakeFault, receipt: Receipt, target: Target | None) -> RevertResult:
        raise FaultError("still stopped")

    async def work() -> None:
        await rig.to_end()
        left = FakeStore(saved=[r for r in rig.store.saved if r.phase in {"requested", "planned", "injected"}])
        again = Rig(tmp_path, store=left)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("monitor.run.recovery.fault_of", lambda _receipt: FakeFault())
            patch.setattr(FakeFault, "revert", fail)
            [run] = await again.engine.start()
            assert run.verdict is Verdict.REVERT_FAILED
            assert run.receipt_open
            assert "still stopped" in run.notes[-1]
            await again.engine.shutdown("end of test")

    go(work)


def test_a_dry_run_resolves_and_touches_nothing(tmp_path: Path) -> None:
    rig = Rig(tmp_path)

    async def work() -> None:
        dry = await rig.engine.dry_run(Request(fault="fake"))
        assert [i.name for i in dry.instances] == ["fake-0"]
        assert dry.would_be_refused is None
        assert FakeFault.diary == ["resolve"]
        assert rig.store.saved == []

    go(work)


class SteppingClock(SystemClock):
    """A clock beside a system clock that can be moved."""

    step = 0

    def step_ns(self) -> int:
        return self.step


def test_a_step_of_the_system_clock_is_noted_and_moves_no_instant(tmp_path: Path) -> None:
    rig = Rig(tmp_path, duration_seconds=1.0)
    clock = SteppingClock()
    rig.engine.parts = replace(rig.engine.parts, clock=clock)

    async def work() -> None:
        await rig.submit()
        await rig.until("observe")
        clock.step = 3_600 * 10**9
        assert rig.engine.active is not None
        assert rig.engine.active.task is not None
        run = await rig.engine.active.task
        assert any("stepped by +3600.000 s" in n for n in run.notes)
        instants = [t.at_ns for t in run.transitions]
        assert instants == sorted(instants)
        assert instants[-1] - instants[0] < 60 * 10**9

    go(work)


def test_the_share_of_every_component_that_is_touched_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node holds pods of several components; the second one's only instance is not hidden by the first."""
    rig = Rig(tmp_path)
    rig.engine.guard = GuardSpec(cooldown_seconds=0, max_percent=50)

    class Two(FakeTarget):
        async def instances(self, component: str) -> list[Instance]:
            return [Instance(component=component, name=f"{component}-{n}") for n in range(2 if component == "a" else 1)]

    async def resolve(_self: FakeFault, _target: Target, _rng: random.Random) -> tuple[Instance, ...]:
        return Instance(component="a", name="a-0"), Instance(component="b", name="b-0")

    monkeypatch.setattr(FakeFault, "resolve", resolve)
    rig.engine.parts = replace(rig.engine.parts, target=Two())

    async def work() -> None:
        words = "1 of 1 instances of b are 100 %"
        assert words in ((await rig.engine.dry_run(Request(fault="fake"))).would_be_refused or "")
        run = await rig.to_end()
        assert run.verdict is Verdict.SKIPPED
        assert words in run.reason
        assert "inject" not in FakeFault.diary

    go(work)


class Strict(FakeTarget):
    """Knows rights; `hold` keeps the answer back."""

    def __init__(self, *missing: str) -> None:
        self.missing = list(missing)
        self.trouble = ""
        self.hold = asyncio.Event()
        self.hold.set()

    async def missing_rights(self, permissions: object) -> list[str]:
        await self.hold.wait()
        if self.trouble:
            raise FaultError(self.trouble)
        return self.missing


def test_a_missing_right_refuses_before_anything_and_the_next_request_is_heard(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    target = Strict("delete pods in namespace prod")
    rig.engine.parts = replace(rig.engine.parts, target=target)

    async def work() -> None:
        with pytest.raises(RunRefused) as caught:
            await rig.submit()
        assert caught.value.refusal.rule is Rule.RIGHTS
        assert caught.value.refusal.reason == (
            "kind fake lacks the right to delete pods in namespace prod: grant it, for example by a Role"
        )
        assert caught.value.run is not None and caught.value.run.verdict is Verdict.SKIPPED
        dry = await rig.engine.dry_run(Request(fault="fake"))
        assert dry.would_be_refused == caught.value.refusal.reason
        assert dry.passing is False
        target.trouble = "no answer"
        with pytest.raises(RunRefused, match="whether the rights are there cannot be told: no answer") as unknown:
            await rig.submit()
        assert unknown.value.refusal.passing
        assert "inject" not in FakeFault.diary
        assert rig.engine.active is None
        target.trouble, target.missing = "", []
        assert (await rig.to_end()).verdict is Verdict.RECOVERED

    go(work)


def test_while_rights_are_asked_for_nobody_else_may_begin_and_a_stop_is_obeyed(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    target = Strict()
    target.hold.clear()
    rig.engine.parts = replace(rig.engine.parts, target=target)

    async def work() -> None:
        first = asyncio.create_task(rig.submit())
        await asyncio.sleep(0)
        with pytest.raises(RunRefused, match="is active on this deployment"):
            await rig.submit()
        stop = asyncio.create_task(rig.engine.stop("enough", "test"))
        await asyncio.sleep(0.05)
        target.hold.set()
        await first
        await stop
        assert rig.engine.active is None
        assert "inject" not in FakeFault.diary

    go(work)
