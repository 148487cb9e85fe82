"""An hour of a deployment's life as the monitor's own Metrics object tells it, and as a real Dynamo's pages look.

Every figure passes through the public methods that the service calls, so that the series have the names
and labels that a real service has. Pages of Dynamo are those of a real one (1.4.2), with counters that grow.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from faults.base import Instance, Receipt
from monitor.export.metrics import Metrics
from monitor.model import Comparison, Incident, ObjectiveResult, Phase, Run, Transition, Verdict, WitnessReport
from probes.record import ErrorClass, Gap, Outcome
from tests.support.records import record

HERE = Path(__file__).parent
STEP = 15
STEPS = 280
SECOND = 10**9
PROBES = {"chat": 5.0, "long": 1.0}
FAULTS = {"worker": "worker", "worker_stall": "worker", "frontend": "frontend", "none": ""}
LIMITS = {
    "worker": {"recovery_seconds": 30.0, "failed_requests": 60.0},
    "worker_stall": {"recovery_seconds": 20.0},
    "frontend": {"error_window_seconds": 10.0},
}
_KINDS = {"none": "none", "worker_stall": "process_stall"}
_SAMPLE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")


@dataclass(frozen=True)
class Played:
    """One run of the play. Seconds are since its injection."""

    step: int
    fault: str
    verdict: Verdict
    hurt: float = 0.0
    """Share of requests that fail while it hurts."""
    recovery: float = 0.0
    error: ErrorClass = ErrorClass.CONNECTION_REFUSED


PLAY = (
    Played(12, "none", Verdict.NO_IMPACT),
    Played(30, "worker", Verdict.RECOVERED, 0.5, 28.0, ErrorClass.STREAM_CUT),
    Played(58, "frontend", Verdict.RECOVERED, 1.0, 9.0),
    Played(84, "worker_stall", Verdict.RECOVERED, 0.4, 41.0, ErrorClass.TIMEOUT),
    Played(112, "worker", Verdict.RECOVERED, 0.5, 33.0, ErrorClass.STREAM_CUT),
    Played(134, "worker", Verdict.NOT_INJECTED),
    Played(150, "worker", Verdict.SKIPPED),
    Played(156, "none", Verdict.INCONCLUSIVE),
    Played(178, "frontend", Verdict.ABORTED, 1.0, 12.0),
    Played(200, "worker", Verdict.NOT_RECOVERED, 0.5, 120.0, ErrorClass.STREAM_ERROR),
    Played(222, "none", Verdict.RECOVERED, 0.0, 3.0),
    Played(232, "worker_stall", Verdict.REVERT_FAILED, 0.4, 60.0, ErrorClass.TIMEOUT),
    Played(256, "worker", Verdict.RECOVERED, 0.5, 25.0, ErrorClass.STREAM_CUT),
)
INCIDENT = range(98, 103)
SILENT = range(66, 71)
"""The probe `long` does not send on time."""


def metrics() -> Metrics:
    """A fresh object, told what the service tells it."""
    return Metrics(
        deployment="demo",
        probes=list(PROBES),
        faults=FAULTS,
        schedules=["office-hours", "nights"],
        sources=["prometheus", "otlp"],
        objectives=LIMITS,
        good_ratio=0.99,
        env={},
    )


@dataclass
class Life:
    """Plays the hour, one scrape at a time. `start` is UTC seconds of the first one."""

    start: int
    metrics: Metrics = field(default_factory=metrics)
    number: int = 0

    def page(self) -> str:
        """What a scrape gets now."""
        return self.metrics.render()[0].decode()

    def play(self) -> Iterator[int]:
        """Yields the UTC second of each scrape, when everything before it has been told."""
        for step in range(STEPS):
            at = self.start + step * STEP
            self._service(step, at)
            self._runs(step, at)
            self.load(STEP, self._hurting(step), stalled=self._stalled(step), silent=step in SILENT)
            yield at

    def load(
        self,
        seconds: float,
        hurting: tuple[float, ErrorClass] | None = None,
        *,
        stalled: bool = False,
        silent: bool = False,
    ) -> None:
        """The requests of some seconds."""
        for probe, rate in PROBES.items():
            for _ in range(round(rate * seconds)):
                self.number += 1
                self._request(probe, hurting)
            overdue = 4 if stalled else 0
            up = not (silent and probe == "long")
            self.metrics.set_probe({"name": probe, "up": up, "in_flight": 2 + overdue, "overdue": overdue})

    def _request(self, probe: str, hurting: tuple[float, ErrorClass] | None) -> None:
        wave = (self.number * 7919 % 100) / 100
        if hurting is not None and wave < hurting[0]:
            broken = hurting[1] in {ErrorClass.STREAM_CUT, ErrorClass.STREAM_ERROR}
            outcome = Outcome.TRUNCATED if broken else Outcome.FAILED
            self.metrics.record_request(
                record(self.number, probe=probe, outcome=outcome, error=hurting[1], ttft_ns=None, inter_token_ns=None)
            )
            return
        slow = hurting is not None and wave > 0.9
        ttft = 2.6 if slow else 0.03 + 0.05 * wave + (0.1 if hurting else 0)
        self.metrics.record_request(
            record(
                self.number,
                probe=probe,
                life=ttft + 0.2,
                ttft_ns=round(ttft * SECOND),
                inter_token_ns=round((0.005 + 0.004 * wave) * SECOND),
                outcome=Outcome.SLOW if slow else Outcome.GOOD,
                error=ErrorClass.SLOW_FIRST_TOKEN if slow else ErrorClass.NONE,
            )
        )

    # --- what hurts when --------------------------------------------------------------------

    @staticmethod
    def _hurting(step: int) -> tuple[float, ErrorClass] | None:
        if step in INCIDENT:
            return 0.3, ErrorClass.HTTP_503
        for one in PLAY:
            if one.hurt and one.step < step <= one.step + max(1, round(one.recovery / STEP)):
                return one.hurt, one.error
        return None

    def _stalled(self, step: int) -> bool:
        """Requests hang before the first of them times out."""
        return any(
            one.error is ErrorClass.TIMEOUT and one.step <= step <= one.step + round(one.recovery / STEP)
            for one in PLAY
        )

    def _service(self, step: int, at: int) -> None:
        told = self.metrics
        told.set_next({"office-hours": (at + 900) * SECOND, "nights": (at + 30_000) * SECOND})
        told.source_up("prometheus", step not in range(60, 64))
        told.source_up("otlp", True)
        told.otlp_spans(300)
        told.store_pending(step * 7 % 40)
        told.set_stuck(int(236 <= step < 244))
        if step == INCIDENT.start:
            told.incident(Incident(id=1, start_ns=at * SECOND))
        if step == INCIDENT.stop:
            told.incident(Incident(id=1, start_ns=(at - len(INCIDENT) * STEP) * SECOND, end_ns=at * SECOND))
        if step == 61:
            told.source_error("prometheus", "timeout")
        if step == 70:
            told.gap(Gap("long", (at - 9) * SECOND, at * SECOND, "aiperf was restarted"))
        if step % 90 == 40:
            told.schedule_skipped("office-hours", "steady_state")

    # --- runs -------------------------------------------------------------------------------

    def _runs(self, step: int, at: int) -> None:
        for one in PLAY:
            self._run(one, step - one.step, at)

    def _run(self, one: Played, age: int, at: int) -> None:
        """A step of a run: what the engine tells with each transition."""
        if age == 0 and one.verdict is not Verdict.SKIPPED:
            for phase in (Phase.REQUESTED, Phase.GUARDED, Phase.RESOLVED, Phase.PLANNED, Phase.INJECTED):
                self.metrics.run_changed(_run(one, phase, at))
            if one.verdict is not Verdict.NOT_INJECTED:
                self.metrics.run_changed(_run(one, Phase.EFFECTIVE, at + 0.4))
        if age == 2 and one.verdict not in {Verdict.SKIPPED, Verdict.REVERT_FAILED}:
            self.metrics.run_changed(_run(one, Phase.REVERTED, at))
        end = max(4, round(one.recovery / STEP) + 3)
        if age == end:
            if one.verdict not in {Verdict.SKIPPED, Verdict.NOT_INJECTED, Verdict.ABORTED, Verdict.REVERT_FAILED}:
                self.metrics.run_changed(_run(one, Phase.SETTLED, at))
            self.metrics.run_changed(_ended(one, at))
        if age == end + 5 and one.verdict is Verdict.REVERT_FAILED:
            self.metrics.run_changed(_ended(one, at).model_copy(update={"receipt_open": False}))


def _run(one: Played, phase: Phase, at: float, **changes: object) -> Run:
    instant = round(at * SECOND)
    component = FAULTS[one.fault]
    seconds = {"duration_seconds": 30.0} if one.fault == "worker_stall" else {}
    return Run(
        id=f"{one.fault}-{one.step}",
        fault_name=one.fault,
        fault={"kind": _KINDS.get(one.fault, "process_kill"), **seconds},
        deployment="demo",
        requested_by="schedule:office-hours",
        seed=1,
        phase=phase,
        transitions=(Transition(phase=phase, at_ns=instant),),
        instances=(Instance(component=component, name=f"{component}-0"),) if component else (),
        receipt=Receipt(run_id="r", kind="k", fault={}, instances=(), planned_ns=instant, state_dir="."),
        t_requested=instant,
    ).model_copy(update=changes)


def _ended(one: Played, at: float) -> Run:
    whole = one.verdict in {Verdict.RECOVERED, Verdict.NO_IMPACT, Verdict.NOT_RECOVERED}
    judged = {name: limit for name, limit in LIMITS.get(one.fault, {}).items() if whole}
    results = tuple(
        ObjectiveResult(objective=name, limit=limit, value=one.recovery, met=one.recovery <= limit)
        for name, limit in judged.items()
    )
    changes: dict[str, object] = {
        "verdict": one.verdict,
        "witnesses": _witnesses(one) if whole else (),
        "objective_results": results,
        "receipt_open": one.verdict is Verdict.REVERT_FAILED,
        "comparisons": _compared(one) if whole else (),
    }
    return _run(one, Phase.FINISHED, at, **changes)


def _compared(one: Played) -> tuple[Comparison, ...]:
    statuses = ("agree", "disagree" if one.error is ErrorClass.TIMEOUT else "agree", "not_compared")
    pairs = (("client", "server"), ("client", "trace"), ("server", "trace"))
    return tuple(
        Comparison.model_validate({"a": a, "b": b, "figure": "window", "status": status})
        for (a, b), status in zip(pairs, statuses, strict=True)
    )


def _witnesses(one: Played) -> tuple[WitnessReport, ...]:
    hurt = one.verdict is not Verdict.NO_IMPACT
    return tuple(
        WitnessReport(
            witness=name,
            status="ok",
            verdict=one.verdict,
            t_impact=SECOND if hurt else None,
            censored=one.verdict is Verdict.NOT_RECOVERED,
            failed_requests=round(one.recovery * one.hurt * sum(PROBES.values())),
            recovery_from_effect_seconds=one.recovery + shift if hurt else None,
            error_window_seconds=one.recovery + shift + 0.5 if hurt else None,
        )
        for name, shift in (("client", 0.0), ("server", -1.5), ("trace", -0.2))
    )


# --- pages --------------------------------------------------------------------------------------


def dynamo_page(kind: str, step: int) -> str:
    """The page of a real Dynamo frontend or worker; counters have grown in proportion to the step."""
    lines = []
    for line in (HERE / f"dynamo_{kind}.txt").read_text(encoding="utf-8").splitlines():
        found = _SAMPLE.match(line)
        assert found is not None, line
        name, labels, value = found[1], found[2] or "", float(found[3])
        if name.endswith(("_total", "_bucket", "_sum", "_count")):
            value *= step
        elif name.endswith("uptime_seconds"):
            value = (step % 200) * STEP
        else:
            value = {"vllm:kv_cache_usage_perc": 0.2 + step % 40 / 100}.get(name, step % 3)
        lines.append(f"{name}{{{labels}}} {value:.6g}")
    return "\n".join(lines) + "\n"


def stamped(page: str, job: str, instance: str, at: int) -> Iterator[str]:
    """The samples of a page as OpenMetrics lines with the labels of a scrape and its time."""
    own = f'instance="{instance}",job="{job}"'
    for line in page.splitlines():
        found = _SAMPLE.match(line)
        if found is not None:
            labels = f"{found[2].rstrip(',')}," if found[2] else ""
            yield f"{found[1]}{{{labels}{own}}} {found[3]} {at}"
