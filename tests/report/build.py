"""Stores with a known history."""

from __future__ import annotations

import random
import uuid
from typing import Any

from faults.base import Evidence, Instance, Process
from monitor.model import (
    Comparison,
    Incident,
    ObjectiveResult,
    Phase,
    Resolution,
    Run,
    Stretch,
    Transition,
    Verdict,
    WitnessReport,
)
from monitor.report.source import Making
from monitor.store.store import Store
from probes.record import ErrorClass, Gap, Outcome, Record, SegmentClosed
from tests.support.records import SECOND, T0, failed, record

BASELINE = 30.0


def making(**changes: Any) -> Making:
    """Ten hours after T0."""
    given: dict[str, Any] = {"deployment": "d", "version": "1", "now_ns": T0 + 36_000 * SECOND}
    return Making(**(given | {"baseline_seconds": BASELINE} | changes))


def run_at(
    second: float, *, fault: str = "worker", recovery: float | None = 8.0, number: int | None = None, **changes: Any
) -> Run:
    """A finished run, injected `second` seconds after T0. No recovery: no impact."""
    t = T0 + round(second * SECOND)
    hurt = recovery is not None
    end = t + 40 * SECOND
    control = fault == "none"
    client = WitnessReport(
        witness="client",
        status="ok",
        verdict=Verdict.RECOVERED if hurt else Verdict.NO_IMPACT,
        reason="as told",
        t_impact=t if hurt else None,
        t_first_good=t + round((recovery or 0) * SECOND) if hurt else None,
        t_recovered=t + round((recovery or 0) * SECOND) if hurt else None,
        error_window_seconds=recovery or 0.0,
        bad_seconds=recovery or 0.0,
        recovery_from_effect_seconds=recovery,
        requests=40,
        failed_requests=round(recovery or 0),
        slow_requests=0,
        lost_requests=0,
        baseline_requests=30,
        baseline_bad_ratio=0.0,
        stretches=(Stretch(start_ns=t, end_ns=t + round((recovery or 0) * SECOND)),) if hurt else (),
        resolution=Resolution(at_impact_seconds=1.0, at_recovery_seconds=1.0, text="\u00b11 s (1 requests/s)"),
    )
    server = client.model_copy(update={"witness": "server"})
    trace = WitnessReport(witness="trace", status="absent", reason="no traces section is configured")
    body: dict[str, Any] = {
        "id": f"r{round(second) if number is None else number:012x}",
        "fault_name": fault,
        "fault": {"kind": "none" if control else "process_kill", "signal": "SIGKILL"},
        "deployment": "d",
        "requested_by": "test",
        "seed": 1,
        "phase": Phase.FINISHED,
        "transitions": (
            Transition(phase=Phase.REQUESTED, at_ns=t - SECOND),
            Transition(phase=Phase.EFFECTIVE, at_ns=t, note="pid 7 gone"),
            Transition(phase=Phase.SETTLED, at_ns=end),
            Transition(phase=Phase.FINISHED, at_ns=end + SECOND),
        ),
        "instances": (
            Instance(component="worker", name="worker-0", processes=(Process(pid=7, start_ticks=1, command="w"),)),
        ),
        "evidence": Evidence(summary="pid 7 gone, SIGKILL (waitpid)", at_monotonic_ns=1),
        "t_requested": t - SECOND,
        "t_inject": t,
        "t_effect": t,
        "t_finished": end + SECOND,
        "verdict": client.verdict,
        "witnesses": (client, server, trace),
        "comparisons": (Comparison(a="client", b="server", figure="window", status="agree", text="same"),),
        "objective_results": (
            ObjectiveResult(objective="recovery_seconds", limit=10, value=recovery, met=(recovery or 0) <= 10),
        ),
    }
    return Run.model_validate(body | changes)


def not_recovered(second: float, *, bound: float = 30.0, **changes: Any) -> Run:
    """A run whose observation ended first; the bound is what is known of its recovery."""
    run = run_at(second, recovery=bound)
    client = run.witnesses[0].model_copy(
        update={"verdict": Verdict.NOT_RECOVERED, "censored": True, "t_recovered": None}
    )
    return run.model_copy(
        update={"verdict": Verdict.NOT_RECOVERED, "witnesses": (client, *run.witnesses[1:]), **changes}
    )


def one_run(store: Store, *, second: float = 60.0) -> Run:
    """Two minutes of one request a second; from `second` on eight are refused. Latencies grow by a millisecond each.

    Request 59 is in flight when the fault strikes.
    """
    run = run_at(second)
    hurt = range(round(second), round(second) + 8)
    rows = [
        failed(n, life=0.01) if n in hurt else record(n, life=2.0 if n == 59 else 0.5 + n / 1000) for n in range(120)
    ]
    store.add(rows)
    store.save_run(run)
    return run


def soak(store: Store, *, hours: int = 10, every: float = 10.0, seed: int = 1, slower: float = 1.0) -> list[Run]:
    """A run an hour (a kill, a stall, a control run in turn), an incident, a gap, and a few lost requests."""
    rng = random.Random(seed)  # noqa: S311 - a test wants the same history each time
    runs: list[Run] = []
    hurt: list[tuple[float, float]] = [(4000.0, 4060.0)]
    for hour in range(hours):
        at = 3600.0 * hour + 1800
        recovery = round(rng.uniform(4, 9) * slower, 3)
        fault = ("worker", "worker_stall", "none")[hour % 3]
        runs.append(run_at(at, fault=fault, recovery=None if fault == "none" else recovery))
        if fault != "none":
            hurt.append((at, at + recovery))
    rows: list[Record] = []
    for n in range(round(3600 * hours / every)):
        at = n * every + rng.random()
        if 7000 <= at < 7300:
            continue
        bad = any(b <= at < e for b, e in hurt)
        name = {"request_id": str(uuid.UUID(int=rng.getrandbits(128), version=4))}
        rows.append(
            failed(n, start=at, life=0.01, **name) if bad else record(n, start=at, life=rng.uniform(0.4, 0.6), **name)
        )
    rows.append(
        record(10**6, start=9000.5, outcome=Outcome.LOST, error=ErrorClass.LOST, end_exact=False, output_tokens=None)
    )
    gap = Gap("chat", T0 + 7000 * SECOND, T0 + 7300 * SECOND, "aiperf ended with exit code 1")
    segment = SegmentClosed("chat", 1, T0, T0 + 7000 * SECOND, 701, 700, 1, 2, 1, "rotated")
    store.add(rows, [gap], [segment])
    for run in runs:
        store.save_run(run)
    store.save_incident(
        Incident(
            start_ns=T0 + 4000 * SECOND, end_ns=T0 + 4060 * SECOND, bad_requests=6, first_error="connection_refused"
        )
    )
    return runs
