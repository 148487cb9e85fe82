"""The monitor's engine over a real cluster, with witnesses that say what they are told."""

from __future__ import annotations

from pathlib import Path

from faults.base import Fault
from faults.entry import FaultEntry
from faults.targets.kubernetes import KubernetesTarget
from monitor.clock import SystemClock
from monitor.config.settings import GuardSpec, RunSpec
from monitor.model import Run
from monitor.run.engine import Engine
from monitor.run.guard import ProbeView
from monitor.run.life import Parts
from monitor.run.requests import Request, RunRefused
from tests.support.fakes import FakeStore, FakeWitnesses

FAULT = "it"


def engine(fault: Fault, target: KubernetesTarget, folder: Path, store: FakeStore | None = None) -> Engine:
    """An engine that knows one fault, called `it`."""
    kept = store or FakeStore()
    parts = Parts(
        clock=SystemClock(),
        save=kept.save_run,
        target=target,
        witnesses=FakeWitnesses(),
        spec=RunSpec(observe_seconds=0, horizon_seconds=3, revert_timeout_seconds=10),
        state_root=folder,
        on_change=lambda _run: None,
    )
    return Engine(
        deployment="small",
        entries={FAULT: FaultEntry.model_validate({"fault": fault.model_dump(mode="json")})},
        parts=parts,
        store=kept,
        guard=GuardSpec(cooldown_seconds=0),
        probe_views=lambda: [ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=0)],
        store_trouble=lambda: None,
    )


async def to_end(one: Engine) -> Run:
    """The run of the fault, refused or lived to its end."""
    try:
        await one.submit(Request(fault=FAULT, requested_by="test"))
    except RunRefused as refused:
        assert refused.run is not None
        return refused.run
    assert one.active is not None and one.active.task is not None
    return await one.active.task
