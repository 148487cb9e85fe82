"""The life of a run as data: what is stored, served and printed."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

from faults.base import Evidence, Instance, Objectives, Receipt


class Phase(StrEnum):
    """Each is stored before the next begins."""

    REQUESTED = "requested"
    GUARDED = "guarded"
    RESOLVED = "resolved"
    PLANNED = "planned"
    """The receipt is stored; the fault has not acted yet, or nobody knows (crash)."""
    INJECTED = "injected"
    EFFECTIVE = "effective"
    REVERTED = "reverted"
    SETTLED = "settled"
    FINISHED = "finished"

    @property
    def doing(self) -> str:
        """What goes on after this phase was entered, for a person who waits."""
        return _DOING[self]


_DOING = {
    Phase.REQUESTED: "asking the guard",
    Phase.GUARDED: "choosing instances",
    Phase.RESOLVED: "writing the receipt",
    Phase.PLANNED: "injecting",
    Phase.INJECTED: "verifying that it took effect",
    Phase.EFFECTIVE: "the fault is acting",
    Phase.REVERTED: "the fault is over, waiting until users are well",
    Phase.SETTLED: "asking the witnesses",
    Phase.FINISHED: "finished",
}


class Verdict(StrEnum):
    NO_IMPACT = "no_impact"
    RECOVERED = "recovered"
    NOT_RECOVERED = "not_recovered"
    INCONCLUSIVE = "inconclusive"
    NOT_INJECTED = "not_injected"
    ABORTED = "aborted"
    SKIPPED = "skipped"
    REVERT_FAILED = "revert_failed"


class Model(BaseModel):
    """Base of results. Unknown keys are ignored: a store may have been written by a newer version that was rolled back."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Stretch(Model):
    """A bad stretch, from the first bad start (or the injection, if later) to the first good start after it."""

    start_ns: int
    end_ns: int


class Resolution(Model):
    """How sharp a witness can be (seconds).

    The client's edges may lie up to this much earlier than reported (the request before went well); the server's
    windows run from scrape to scrape and contain the errors, so its edges may lie this much inside.
    """

    at_impact_seconds: float | None = None
    at_recovery_seconds: float | None = None
    text: str = ""


class WorkerEvent(Model):
    """What became of a worker, by its own metrics. Instants are those of scrapes."""

    what: Literal["down", "not_scraped", "vanished", "appeared", "restarted"]
    """down: its metrics could not be scraped. not_scraped: nobody tried any more. vanished: its series are gone from a
    target that is scraped. appeared: a worker that was not there before. restarted: the same one, counting from 0."""
    instance: str
    """What Prometheus calls the scraped address."""
    worker_id: str = ""
    at_ns: int
    """The scrape that showed it; for not_scraped the last one before."""
    since_ns: int | None = None
    """The scrape before, which did not: it happened between the two. None when there is none."""
    until_ns: int | None = None
    """down and not_scraped: the first good scrape after it; None when there was none."""


class ServerFigures(Model):
    """What the server's metrics say beside errors, from the injection on. None: there is no such series, which is not 0."""

    migrations: int | None = None
    """Attempts to go on elsewhere, also those that failed."""
    migrations_by: dict[str, int] = Field(default_factory=dict)
    cancellations: int | None = None
    rejections: int | None = None
    rejections_by: dict[str, int] = Field(default_factory=dict)
    """Refusals in the counter of finished requests, by the server's word or HTTP status."""
    preemptions: int | None = None
    queue_peak: float | None = None
    """Requests that waited, all targets together."""
    in_flight_peak: float | None = None
    kv_cache_peak: float | None = None
    """Largest share of a KV cache that was in use, 0 to 1."""
    tokens_per_second_before: float | None = None
    tokens_per_second_during: float | None = None
    """From impact to recovery as this witness saw them, else from the injection on."""
    workers_before: int | None = None
    """Workers whose metrics were there at the injection."""
    workers_after: int | None = None
    """... and at the end of the observation."""
    worker_events: tuple[WorkerEvent, ...] = ()
    absent: tuple[str, ...] = ()
    """Figures that no series exists for: it never happened, or the server does not say."""


class WitnessReport(Model):
    """What one witness says about a run. Durations in seconds, instants in UTC nanoseconds."""

    witness: Literal["client", "server", "trace"]
    probe: str | None = None
    """Set when the report is of one probe only; None for all probes together."""
    status: Literal["ok", "inconclusive", "absent"]
    reason: str = ""
    verdict: Verdict | None = None
    t_impact: int | None = None
    t_first_good: int | None = None
    t_recovered: int | None = None
    censored: bool = False
    """The horizon ended before recovery: durations are lower bounds."""
    error_window_seconds: float | None = None
    bad_seconds: float | None = None
    recovery_from_effect_seconds: float | None = None
    recovery_from_revert_seconds: float | None = None
    recovered_while_acting: bool | None = None
    requests: int | None = None
    failed_requests: int | None = None
    truncated_requests: int | None = None
    slow_requests: int | None = None
    lost_requests: int | None = None
    requests_in_flight_at_injection: int | None = None
    tokens_lost: int | None = None
    longest_bad_seconds: float | None = None
    """Client witness: the longest that a bad request took to end."""
    errors: dict[str, int] = Field(default_factory=dict)
    migrated_requests: int | None = None
    """Trace witness: requests that were routed again, whether or not that saved them."""
    retried_requests: int | None = None
    """Of these, the ones that were sent elsewhere before an answer had begun."""
    cancelled_requests: int | None = None
    """Trace witness: requests that the server saw given up by the client."""
    died_in: dict[str, int] = Field(default_factory=dict)
    """Trace witness: how many of the failed requests ended where: frontend, route, prefill, decode, unknown."""
    died_on: dict[str, int] = Field(default_factory=dict)
    """... and on the way to, or on, which instance."""
    failed_traces: tuple[str, ...] = ()
    """Trace ids of failed requests, for any trace store; the first ones where there are many."""
    stretches: tuple[Stretch, ...] = ()
    baseline_requests: int | None = None
    baseline_bad_ratio: float | None = None
    baseline_latency_seconds: float | None = None
    baseline_rate: float | None = None
    during_latency_seconds: float | None = None
    during_rate: float | None = None
    resolution: Resolution = Resolution()
    figures: ServerFigures | None = None
    """Server witness."""
    notes: tuple[str, ...] = ()


class ObjectiveResult(Model):
    objective: str
    limit: float
    value: float | None
    met: bool | None
    """None when it cannot be judged."""


class Comparison(Model):
    """Whether two witnesses agree on a figure; see `monitor.measure.compare`."""

    a: str
    b: str
    figure: str
    status: Literal["agree", "disagree", "not_compared"]
    difference: float | None = None
    unit: str = ""
    reason: str = ""
    """The likely reason of a disagreement, from a closed list."""
    text: str = ""


class Recovery(Model):
    """When what was whole again: seconds from the effect (from the injection, where the effect was not seen).

    None: it did not happen, or nobody could see it, or nothing was broken that it could be said of. The figure of a
    request is that of its start, which may lie before the effect was verified: then it is negative.
    """

    replaced_seconds: float | None = None
    """A live process stood in the place of the last one that we ended."""
    ready_seconds: float | None = None
    """... and called itself ready."""
    first_success_seconds: float | None = None
    """The first good request after the impact, by the client witness."""
    baseline_seconds: float | None = None
    """The first request from which everything was back at the baseline, by the client witness."""


class Transition(Model):
    phase: Phase
    at_ns: int
    note: str = ""


class Run(Model):
    """One execution of a fault, from request to verdict. Instants: UTC nanoseconds on the monitor's clock."""

    id: str
    fault_name: str
    fault: dict[str, object]
    deployment: str
    requested_by: str
    """`cli`, `api`, `schedule:NAME`."""
    seed: int
    objectives: Objectives = Objectives()
    phase: Phase = Phase.REQUESTED
    transitions: tuple[Transition, ...] = ()
    instances: tuple[Instance, ...] = ()
    receipt: Receipt | None = None
    receipt_open: bool = False
    """True from the moment the receipt is stored until its revert is done."""
    evidence: Evidence | None = None
    observations: tuple[str, ...] = ()
    t_requested: int
    t_inject: int | None = None
    t_effect: int | None = None
    t_effect_ended: int | None = None
    """When the effect ended, if earlier than the revert (healed early)."""
    t_reverted: int | None = None
    t_clean: int | None = None
    t_replaced: int | None = None
    """When a live process stood in the place of the last one that we ended."""
    t_ready: int | None = None
    t_finished: int | None = None
    verdict: Verdict | None = None
    reason: str = ""
    witnesses: tuple[WitnessReport, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    objective_results: tuple[ObjectiveResult, ...] = ()
    notes: tuple[str, ...] = ()

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def recovery(self) -> Recovery | None:
        """Ready, first success and baseline, which are three things; None before the injection."""
        effect = self.t_effect if self.t_effect is not None else self.t_inject
        if effect is None:
            return None
        client = self.witness("client")

        def after(instant: int | None) -> float | None:
            return None if instant is None else (instant - effect) / 1e9

        return Recovery(
            replaced_seconds=after(self.t_replaced),
            ready_seconds=after(self.t_ready),
            first_success_seconds=after(client.t_first_good if client else None),
            baseline_seconds=after(client.t_recovered if client else None),
        )

    @property
    def met(self) -> bool | None:
        """All judged objectives met; None when none was judged."""
        judged = [r.met for r in self.objective_results if r.met is not None]
        return all(judged) if judged else None

    def witness(self, name: str, probe: str | None = None) -> WitnessReport | None:
        """The report of a witness (of all probes together, or of one)."""
        return next((w for w in self.witnesses if w.witness == name and w.probe == probe), None)


class Incident(Model):
    """An error window with no run active: the deployment broke by itself."""

    id: int | None = None
    start_ns: int
    end_ns: int | None = None
    bad_requests: int = 0
    first_error: str = ""
