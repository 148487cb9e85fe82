"""What the scripted monitor knows: a day of a deployment that is worth looking at."""

from __future__ import annotations

import random
import time
from typing import Any

from faults.catalogue import builtin
from faults.entry import FaultEntry
from monitor.catalogue import describe

SECOND = 10**9
HOUR = 3600 * SECOND
PHASES = ("requested", "guarded", "resolved", "planned", "injected", "effective", "reverted", "settled", "finished")
DOING = {"effective": "the fault is acting", "reverted": "the fault is over, waiting until users are well"}
KUBE_ONLY = "the configuration has no Kubernetes target"


class World:
    """Data of the contract's shapes; tests change it while the page looks."""

    def __init__(self) -> None:
        self.now = time.time_ns
        entries = builtin()
        self.faults = [_fault(name, entry) for name, entry in entries.items()]
        self.kinds = {e.fault.kind: type(e.fault).model_json_schema() for e in entries.values()}
        self.whole: dict[str, Any] = {
            "state": "whole", "since_ns": self.now() - 5 * HOUR, "reason": "all probes send and 600 of 600 requests of the last minute were good",
        }  # fmt: skip
        self.stopped: dict[str, Any] | None = None
        self.active: dict[str, Any] | None = None
        self.runs: dict[str, dict[str, Any]] = {}
        self.briefs: list[dict[str, Any]] = []
        """In the order in which they are told."""
        self.instances: list[dict[str, Any]] = [{"component": "worker", "name": "worker-0", "process": {"pid": 4711, "start_ticks": 1, "command": "python -m dynamo.mocker"}, "processes": [], "pod": None, "workload": None}]  # fmt: skip
        self.refusal: str | None = None
        self.incidents: list[dict[str, Any]] = []
        self.gaps: list[dict[str, Any]] = []
        at = self.now() + 23 * 60 * SECOND
        self.schedules: list[dict[str, Any]] = [
            {"name": "weekdays", "timezone": "Europe/Berlin", "enabled": True, "faults": ["worker", "worker_stall", "frontend_kill"], "control_share": 0.2, "skipped": {"busy": 2},
             "next": [{"at_ns": at + n * HOUR, "fault": name} for n, name in enumerate(("worker_stall", "none", "frontend_kill"))]},
            {"name": "nights", "timezone": "UTC", "enabled": False, "faults": ["etcd_stall"], "control_share": 0.0, "skipped": {}, "next": []},
        ]  # fmt: skip
        self.bad_seconds: range = range(0)

    # --- what is told -------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        return {
            "version": "0.1.0", "deployment": "dynamo-prod", "stopped": self.stopped, "whole": self.whole, "now_ns": self.now(), "active": self.active,
            "probes": [{"name": "chat", "up": True, "request_rate": 10, "segment": 3, "in_flight": 4, "overdue": 0, "sent": 864_000, "recorded": 863_996, "lost": 0,
                        "recent": {"window_seconds": 10, "requests": 100, "bad": 0, "failed": 0, "rate": 10.0}}],
            "schedules": [{"name": s["name"], "next_ns": s["next"][0]["at_ns"] if s["next"] else None} for s in self.schedules],
            "sources": {"prometheus": {"up": True, "reason": ""}}, "store": {"ok": True, "reason": ""},
            "incident": None, "incidents_total": len(self.incidents), "clock_step_seconds": 0.0,
        }  # fmt: skip

    def second(self, at: int) -> dict[str, Any]:
        """The second that began at `at` (seconds)."""
        rng = random.Random(at)  # noqa: S311 - a picture's noise
        bad = 6 if at in self.bad_seconds else 0
        p50 = 80 + 14 * rng.random()
        return {"at_ns": at * SECOND, "probe": "chat", "good": 10 - bad, "bad": bad, "gap": False, "latency_p50_ms": p50, "latency_p95_ms": p50 + 40 + 30 * rng.random() + 300 * bool(bad)}  # fmt: skip

    def seconds(self) -> list[dict[str, Any]]:
        return [self.second(self.now() // SECOND - 3)]

    def series(self, seconds: int = 600) -> dict[str, Any]:
        step = max(1, seconds // 1440)
        now = self.now() // SECOND - 3
        found = [self.second(at) for at in range(now - seconds, now, step)]
        columns = ("at_ns", "good", "bad", "gap", "latency_p50_ms", "latency_p95_ms")
        probes = {"chat": {c: [s[c] * (step if c in {"good", "bad"} else 1) for s in found] for c in columns}}
        return {"step_seconds": step, "probes": probes}

    def timeline(self, hours: int = 24) -> dict[str, Any]:
        now = self.now()
        since = now - hours * HOUR
        upcoming = [
            {"schedule": s["name"], "fault": n["fault"], "at_ns": n["at_ns"]} for s in self.schedules for n in s["next"]
        ]
        runs = [b for b in self._latest() if b["t_requested"] >= since]
        return {
            "from_ns": since,
            "to_ns": now,
            "runs": runs,
            "incidents": self.incidents,
            "gaps": self.gaps,
            "next": upcoming,
        }

    def list_runs(
        self, limit: int = 50, offset: int = 0, fault: str = "", verdict: str = "", since_ns: int = 0
    ) -> dict[str, Any]:
        fit = [
            b
            for b in self._latest()
            if fault in ("", b["fault_name"]) and verdict in ("", b["verdict"]) and b["t_requested"] >= since_ns
        ]
        return {"runs": fit[offset : offset + limit], "total": len(fit)}

    def _latest(self) -> list[dict[str, Any]]:
        return sorted({b["id"]: b for b in self.briefs}.values(), key=lambda b: -int(b["t_requested"]))

    # --- what happens -------------------------------------------------------------------------

    def dry_run(self, wish: dict[str, Any]) -> dict[str, Any]:
        fault = next(f for f in self.faults if f["name"] == wish["fault"])
        none = fault["kind"] == "none"
        return {
            "fault": wish["fault"],
            "spec": fault["fault"] | wish["changes"],
            "instances": [] if none else self.instances,
            "would_be_refused": self.refusal,
        }

    def begin(self, wish: dict[str, Any]) -> dict[str, Any]:
        fault = next(f for f in self.faults if f["name"] == wish["fault"])
        run = self.add_run(
            fault["name"], self.now(), kind=fault["kind"], verdict=None, phase="effective", by=wish["requested_by"]
        )
        phases = [{"phase": t["phase"], "at_ns": t["at_ns"]} for t in run["transitions"]]
        self.active = {
            "id": run["id"], "fault_name": fault["name"], "phase": "effective", "doing": DOING["effective"], "phase_since_ns": phases[-1]["at_ns"],
            "instances": [i["name"] for i in run["instances"]], "requested_by": wish["requested_by"], "phases": phases,
            "ends_by_ns": self.now() + 68 * SECOND, "ends_because": "the fault's deadline, then at most 60 s until users are well",
        }  # fmt: skip
        return run

    def add_run(self, name: str, at: int, *, kind: str = "process_kill", verdict: str | None = "recovered", failed: int = 0, window: float | None = None,
                phase: str = "finished", by: str = "schedule:weekdays", reason: str = "", met: bool | None = None) -> dict[str, Any]:  # fmt: skip
        """A run and what is told of it."""
        run_id = f"r{at:016x}"[:13] + f"{len(self.runs):02x}"
        reached = PHASES[: PHASES.index(phase) + 1]
        times = {p: at + n * SECOND // 2 for n, p in enumerate(reached)}
        skipped = verdict == "skipped"
        instances = [] if skipped or kind == "none" else self.instances
        evidence = "worker-0 (pid 4711) ended by SIGKILL" if instances else None
        brief = {
            "id": run_id, "fault_name": name, "kind": kind, "verdict": verdict, "phase": phase, "reason": reason, "requested_by": by, "t_requested": at,
            "t_inject": None if skipped else times.get("injected"), "t_effect": times.get("effective"), "t_impact": times.get("effective") if failed else None,
            "t_recovered": at + round((window or 0) * SECOND) if failed else None, "t_reverted": times.get("reverted"), "t_finished": times.get("finished"),
            "instances": [i["name"] for i in instances], "failed_requests": None if skipped else failed, "error_window_seconds": window, "recovery_seconds": window and window - 0.4,
            "met": met, "receipt_open": verdict is None, "evidence": evidence,
        }  # fmt: skip
        fault = next((f["fault"] for f in self.faults if f["name"] == name), {"kind": kind})
        witness = {"witness": "client", "probe": None, "status": "ok", "reason": "", "verdict": verdict, "t_impact": brief["t_impact"], "censored": False, "error_window_seconds": window,
                   "recovery_from_effect_seconds": brief["recovery_seconds"], "requests": 610, "failed_requests": failed, "errors": {"http 503": failed} if failed else {},
                   "resolution": {"text": "0.1 s between requests"}, "notes": []}  # fmt: skip
        self.runs[run_id] = {
            "id": run_id, "fault_name": name, "fault": fault, "requested_by": by, "phase": phase, "verdict": verdict, "reason": reason, "t_requested": at,
            "t_inject": brief["t_inject"], "t_reverted": brief["t_reverted"], "transitions": [{"phase": p, "at_ns": t, "note": ""} for p, t in times.items()],
            "instances": instances, "receipt_open": brief["receipt_open"], "evidence": {"summary": evidence, "details": []} if evidence else None, "observations": [], "notes": [],
            "witnesses": [witness, witness | {"witness": "server", "verdict": verdict, "resolution": {"text": "5 s scrape + 15 s window"}}] if verdict and not skipped else [],
            "comparisons": [{"a": "client", "b": "server", "figure": "error_window", "status": "agree", "difference": 1.2, "unit": "s", "reason": "", "text": ""}] if failed else [],
            "objective_results": [] if met is None else [{"objective": "recovery_seconds", "limit": 10.0, "value": brief["recovery_seconds"], "met": met}],
        }  # fmt: skip
        self.briefs.append(brief)
        return self.runs[run_id]


def _fault(name: str, entry: FaultEntry) -> dict[str, Any]:
    described = describe(name, entry)
    on_kube = described["kind"] in {"pod_delete", "rollout_restart", "scale"}
    return described | ({"usable": False, "why_not": KUBE_ONLY} if on_kube else {})


def a_day() -> World:
    """A day with faults that hurt and faults that did not, an incident and a gap."""
    world = World()
    now = world.now()
    plan = [("worker", "recovered", 14, 3.21), ("none", "no_impact", 0, None), ("frontend_kill", "recovered", 41, 5.87), ("worker_stall", "no_impact", 0, None),
            ("worker", "recovered", 9, 2.04), ("none", "no_impact", 0, None), ("etcd_stall", "not_recovered", 212, 60.0), ("worker_term", "no_impact", 0, None)]  # fmt: skip
    for number in range(23, 0, -1):
        name, verdict, failed, window = plan[number % len(plan)]
        kind = "none" if name == "none" else "process_stall" if name.endswith("stall") else "process_kill"
        world.add_run(
            name,
            now - number * HOUR + 600 * SECOND,
            kind=kind,
            verdict=verdict,
            failed=failed,
            window=window,
            met=None if window is None else window < 10,
        )
    world.add_run(
        "worker", now - 90 * 60 * SECOND, verdict="skipped", reason="an incident is open: the deployment is not whole"
    )
    world.incidents = [
        {
            "start_ns": now - 9 * HOUR,
            "end_ns": now - 9 * HOUR + 240 * SECOND,
            "bad_requests": 87,
            "first_error": "http 503: no worker is ready",
        }
    ]
    world.gaps = [
        {
            "probe": "chat",
            "start_ns": now - 15 * HOUR,
            "end_ns": now - 15 * HOUR + 900 * SECOND,
            "reason": "aiperf ended and was started again",
        }
    ]
    second = now // SECOND
    world.bad_seconds = range(second - 200, second - 194)
    return world
