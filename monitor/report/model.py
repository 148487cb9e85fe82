"""Reports as data. Durations in seconds, instants in UTC nanoseconds; None is "not known", which is not 0."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, computed_field

from monitor.measure.controls import ControlResult
from monitor.model import Incident, Model, Run, Verdict


class Quantiles(Model):
    """Of the requests themselves, all probes in one heap; never an average of averages."""

    count: int
    mean: float
    p50: float
    p90: float
    p99: float
    longest: float


class Speed(Model):
    """Requests of [begin, end), and how quick the good ones were."""

    begin_ns: int
    end_ns: int
    good: int = 0
    slow: int = 0
    failed: int = 0
    """Failed or truncated."""
    lost: int = 0
    """Nobody saw how they ended: in no ratio."""
    latency: Quantiles | None = None
    """Of good requests."""
    ttft: Quantiles | None = None
    inter_token: Quantiles | None = None
    throughput: float | None = None
    """Good requests a second."""
    folded_good: int = 0
    """Of `good`, those that are only counted a minute: in no quantile."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def total(self) -> int:
        """Requests of which it is known how they ended."""
        return self.good + self.slow + self.failed

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def good_ratio(self) -> float | None:
        return self.good / self.total if self.total else None


class BadRequest(Model):
    """A request that hurt a user."""

    start_ns: int
    end_ns: int
    end_exact: bool
    probe: str
    outcome: str
    error: str
    message: str
    status: int | None
    trace_id: str
    """32 hex digits, for any trace store; empty where the request's id is no UUID."""


class ErrorCount(Model):
    """One class of errors."""

    error: str
    count: int
    first_ns: int
    last_ns: int
    example: str = ""


class Points(Model):
    """Requests for a picture, in columns: every bad or lost one, and of the good ones enough to see their extremes."""

    base_ns: int
    probes: tuple[str, ...]
    start_us: tuple[int, ...] = ()
    """Microseconds from `base_ns`."""
    life_us: tuple[int, ...] = ()
    ttft_us: tuple[int, ...] = ()
    """-1: none."""
    outcome: tuple[int, ...] = ()
    """Position in `monitor.measure.columns.OUTCOMES`."""
    probe: tuple[int, ...] = ()
    of: int = 0
    """How many requests there are in all."""


class Bucket(Model):
    """A stretch of a picture's time axis, by starts."""

    start_ns: int
    good: int = 0
    slow: int = 0
    failed: int = 0
    lost: int = 0
    latency_p50: float | None = None
    latency_longest: float | None = None


class Hole(Model):
    """A stretch in which a probe sent nothing though it should have."""

    probe: str
    start_ns: int
    end_ns: int | None
    reason: str


class Report(Model):
    """What every report has."""

    made_ns: int
    version: str
    deployment: str
    begin_ns: int
    end_ns: int
    missing: tuple[str, ...] = ()
    """Everything that is not known, one line each; empty means that nothing is missing."""


class RunReport(Report):
    """One run, with the requests around it."""

    kind: Literal["run"] = "run"
    run: Run
    before: Speed | None = None
    """The baseline before the injection."""
    during: Speed | None = None
    """From impact to recovery, as the client witness saw them."""
    after: Speed | None = None
    """From recovery (without impact: from the injection) to the end of the observation."""
    since: Speed | None = None
    """From the injection to the end of the observation: the suite's "after"."""
    whole: Speed | None = None
    errors: tuple[ErrorCount, ...] = ()
    bad: tuple[BadRequest, ...] = ()
    bad_total: int = 0
    points: Points
    buckets: tuple[Bucket, ...] = ()
    bucket_seconds: float = 1.0
    holes: tuple[Hole, ...] = ()


# --- soak ---------------------------------------------------------------------------------------


class RunLine(Model):
    """A run in a soak report."""

    id: str
    fault: str
    kind: str
    requested_ns: int
    inject_ns: int | None = None
    end_ns: int | None = None
    verdict: Verdict | None = None
    met: bool | None = None
    reason: str = ""
    instances: tuple[str, ...] = ()
    evidence: str = ""
    recovery_seconds: float | None = None
    """From effect, by the client witness; a lower bound where `censored`."""
    error_window_seconds: float | None = None
    censored: bool = False
    requests: int | None = None
    failed_requests: int | None = None
    impact_ns: int | None = None
    recovered_ns: int | None = None
    before: Speed | None = None
    after: Speed | None = None


class Estimate(Model):
    """A figure with its 95 % interval; None where there is too little to say."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    count: int = 0


class Spread(Model):
    """A distribution. Runs that did not recover are longer than every figure: a quantile among them is None."""

    count: int
    least: float | None = None
    p25: float | None = None
    median: float | None = None
    p75: float | None = None
    p90: float | None = None
    most: float | None = None
    open_ended: int = 0
    """How many are lower bounds."""


class FaultFigures(Model):
    """All runs of one fault in the period."""

    fault: str
    runs: int
    verdicts: dict[str, int] = Field(default_factory=dict)
    met: int = 0
    missed: int = 0
    recovery: Spread
    error_window: Spread
    failed_requests: Spread
    trend: Estimate = Estimate()
    """Change of the recovery in seconds a day: Theil-Sen slope with Sen's interval."""
    worst: str = ""
    """Id of the run that took longest."""


class Budget(Model):
    """What was promised and what is left of it, over the period."""

    good_ratio_promised: float
    judged: int = 0
    bad: int = 0
    bad_in_runs: int = 0
    """In runs: from the injection to the end of the observation."""
    bad_in_incidents: int = 0
    bad_otherwise: int = 0

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def allowed(self) -> float:
        """Bad requests that the promise allows."""
        return (1 - self.good_ratio_promised) * self.judged

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def spent(self) -> float | None:
        """Share of the budget; above 1 the promise is broken."""
        return self.bad / self.allowed if self.judged and self.allowed > 0 else None


class Controls(Model):
    """Control runs: how often harm was found where none was done."""

    counts: dict[ControlResult, int] = Field(default_factory=dict)
    rate_upper_95: float | None = None
    """None without a conclusive control run."""


class Difference(Model):
    """One figure in two periods. `change` is second minus first, with its bootstrap interval."""

    what: str
    unit: str = ""
    first: Estimate = Estimate()
    second: Estimate = Estimate()
    change: Estimate = Estimate()
    word: Literal["higher", "lower", "no difference shown", "too little data"] = "too little data"


class PeriodComparison(Model):
    """The period of the report (second) against another one (first)."""

    first: str
    second: str
    seed: int
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()


class SoakReport(Report):
    """A period with all its runs."""

    kind: Literal["soak"] = "soak"
    probes: int = 0
    speed: Speed
    buckets: tuple[Bucket, ...] = ()
    bucket_seconds: float
    runs: tuple[RunLine, ...] = ()
    faults: tuple[FaultFigures, ...] = ()
    incidents: tuple[Incident, ...] = ()
    controls: Controls = Controls()
    budget: Budget
    errors: tuple[ErrorCount, ...] = ()
    holes: tuple[Hole, ...] = ()
    segments: int = 0
    lost: int = 0
    unsent: int = 0
    comparison: PeriodComparison | None = None
