"""Fakes for the lifecycle's own tests: a fault that obeys, witnesses that say what they are told."""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from faults.base import (
    Evidence,
    Facts,
    Fault,
    Instance,
    Layer,
    NotInjected,
    Observation,
    Receipt,
    RevertFailed,
    RevertResult,
    Target,
)
from monitor.measure.client import Progress, RunTimes
from monitor.model import Run, Verdict, WitnessReport
from monitor.store.errors import StoreError


class FakeFault(Fault):
    """Keeps a diary of its verbs in `diary` and fails where told to."""

    facts: ClassVar[Facts] = Facts(Layer.NONE, "by revert", 60.0, "none", "nobody")
    kind: Literal["fake"] = "fake"
    duration_seconds: float = 0.0
    fail_at: str = ""
    hang_at: str = ""
    revert_failures: int = 0
    end_early: str = ""
    diary: ClassVar[list[str]] = []

    async def _enter(self, verb: str) -> None:
        self.diary.append(verb)
        if self.hang_at == verb:
            await asyncio.sleep(3600)
        if self.fail_at == verb:
            raise NotInjected(f"failed at {verb}")

    async def resolve(self, target: Target, rng: random.Random) -> tuple[Instance, ...]:
        await self._enter("resolve")
        return (Instance(component="fake", name="fake-0"),)

    async def inject(self, receipt: Receipt, target: Target) -> None:
        await self._enter("inject")

    async def verify(self, receipt: Receipt, target: Target) -> Evidence:
        await self._enter("verify")
        return Evidence(summary="seen", at_monotonic_ns=time.monotonic_ns())

    async def observe(self, receipt: Receipt, target: Target) -> Observation:
        await self._enter("observe")
        return Observation(acting=not self.end_early, summary="acting", ended_early=self.end_early or None)

    async def revert(self, receipt: Receipt, target: Target | None) -> RevertResult:
        self.diary.append("revert")
        if self.diary.count("revert") <= self.revert_failures:
            raise RevertFailed("not yet")
        return RevertResult(outcome="reverted", summary="put back", at_monotonic_ns=time.monotonic_ns())


class FakeTarget:
    """One component with one instance that never changes."""

    name = "fake"

    async def components(self) -> list[str]:
        return ["fake"]

    async def instances(self, component: str) -> list[Instance]:
        return [Instance(component=component, name=f"{component}-0")]

    async def exit_of(self, process: object) -> None:
        return None

    async def replacement_of(self, instance: Instance) -> None:
        return None

    async def ready(self, instance: Instance) -> None:
        return None

    async def close(self) -> None:
        return None


@dataclass
class FakeWitnesses:
    """Settles at once, with the report that it was given."""

    report: WitnessReport = field(
        default_factory=lambda: WitnessReport(
            witness="client", status="ok", verdict=Verdict.RECOVERED, failed_requests=3
        )
    )
    settled: bool = True

    async def progress(self, times: RunTimes) -> Progress:
        return Progress(settled=self.settled, impact_seen=True, bad_since=None, reason="told so")

    async def measure(self, times: RunTimes) -> tuple[WitnessReport, ...]:
        return (self.report,)


@dataclass
class FakeStore:
    """Keeps every saved version; refuses from the n-th save on when told to."""

    saved: list[Run] = field(default_factory=list)
    flags: dict[str, dict[str, Any] | None] = field(default_factory=dict)
    refuse_from: int | None = None
    refuse_phase: str | None = None

    def save_run(self, run: Run) -> None:
        if self.refuse_from is not None and len(self.saved) >= self.refuse_from:
            raise StoreError("disk full")
        if self.refuse_phase == run.phase:
            raise StoreError("disk full")
        self.saved.append(run)

    def run(self, run_id_or_prefix: str) -> Run | None:
        return next((r for r in reversed(self.saved) if r.id == run_id_or_prefix), None)

    def _latest(self) -> list[Run]:
        return list({r.id: r for r in self.saved}.values())

    def open_receipts(self) -> list[Run]:
        return [r for r in self._latest() if r.receipt_open]

    def unfinished(self) -> list[Run]:
        return [r for r in self._latest() if r.phase != "finished"]

    def flag(self, name: str) -> dict[str, Any] | None:
        return self.flags.get(name)

    def set_flag(self, name: str, value: dict[str, Any] | None) -> None:
        self.flags[name] = value
