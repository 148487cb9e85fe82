"""The configuration: a YAML file, with `AFTERSHOCK_` environment variables on top.

Environment variables name a path with double underscores: `AFTERSHOCK_API__LISTEN=127.0.0.1:9000`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    field_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from faults.catalogue import builtin
from faults.entry import ConfiguredEntry
from monitor.config.leader import LeaderSpec
from monitor.config.notify import NotifySpec
from monitor.config.section import Section
from monitor.config.targets import TargetSpec
from probes.spec import EndpointSpec, HttpUrl, Name, ProbeSpec

FaultName = Annotated[str, Field(pattern=r"^[a-z0-9]([-_a-z0-9]{0,58}[a-z0-9])?$")]
"""A name of the catalogue, safe as a metric label; underscores as in the built-in ones."""


class DeploymentSpec(Section):
    """The system under test."""

    name: Name = Field(default="deployment", description="Name of the deployment; a metric label.")
    endpoint: EndpointSpec = Field(description="Where the load goes.")
    target: TargetSpec | None = Field(
        default=None, description="How faults reach it; without a target only `none` can run."
    )


_QUOTED = re.compile(r"""\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|`[^`]*`""")
_SELECTOR = re.compile(r"\s*(?:[a-zA-Z_:][\w:.]*\s*(?:\{[^{}]*\})?|\{[^{}]*\})\s*")


def _selector(text: str) -> str:
    """Only a selector has raw samples, and only of raw samples is it known what was counted between two of them."""
    if not text.strip():
        raise ValueError('is empty; a PromQL selector, such as requests_total{code=~"2.."}')
    if not _SELECTOR.fullmatch(_QUOTED.sub('""', text)):
        raise ValueError('must be a PromQL selector without functions, such as requests_total{code=~"2.."}')
    return text


Selector = Annotated[str, AfterValidator(_selector)]


class QueriesSpec(Section):
    """What to ask Prometheus about a server that has no preset. Every query is a selector; its raw samples are used."""

    good_requests: Selector = Field(description="Counters of requests that were answered well.")
    bad_requests: Selector = Field(description="Counters of requests that failed by the server's doing.")
    caller_requests: Selector | None = Field(
        default=None, description="Counters of requests that ended by the caller's doing; neither good nor bad."
    )
    started_requests: Selector | None = Field(default=None, description="Counters of requests that began.")
    latency_sum: Selector | None = Field(default=None, description="Counters of seconds that requests took.")
    latency_count: Selector | None = Field(default=None, description="Counters of the requests in latency_sum.")
    in_flight: Selector | None = Field(default=None, description="Gauges of requests in the server.")
    queue: Selector | None = Field(default=None, description="Gauges of requests that wait.")
    kv_cache_use: Selector | None = Field(default=None, description="Gauges of KV cache use, 0 to 1.")
    output_tokens: Selector | None = Field(default=None, description="Counters of tokens given out.")
    migrations: Selector | None = Field(default=None, description="Counters of attempts to go on elsewhere.")
    cancellations: Selector | None = Field(default=None, description="Counters of requests given up by the caller.")
    rejections: Selector | None = Field(default=None, description="Counters of requests refused for overload.")
    workers: Selector | None = Field(
        default=None,
        description="A counter or an uptime of each worker, told apart by instance and worker_id: whether it lives.",
    )


class PrometheusSpec(Section):
    """The server witness's source."""

    url: HttpUrl = Field(description="Address of the Prometheus that scrapes the deployment.")
    preset: Literal["dynamo", "vllm", "sglang", "generic"] = Field(
        default="dynamo", description="Whose metric names to ask for; generic asks what queries says."
    )
    queries: QueriesSpec | None = Field(default=None, description="The queries of the generic preset.")
    selector: str = Field(default="", description='Label matchers added to every query, such as `namespace="prod"`.')
    scrape_interval_seconds: float = Field(default=15.0, gt=0, description="Scrape interval of the deployment.")
    rate_window_seconds: float | None = Field(
        default=None, gt=0, description="Window of rate(); by default four scrape intervals."
    )
    timeout_seconds: float = Field(default=5.0, gt=0, description="Longest wait for one query.")


class TracesSpec(Section):
    """The trace witness's source: an OTLP receiver in the service."""

    grpc_listen: str | None = Field(
        default=None, description="host:port for OTLP over gRPC, such as 127.0.0.1:4317; off by default."
    )
    http_listen: str | None = Field(
        default=None, description="host:port for OTLP over HTTP with protobuf, such as 127.0.0.1:4318; off by default."
    )
    token_env: str | None = Field(
        default=None,
        description="Environment variable that holds the bearer token which senders must give; required beyond loopback.",
    )
    forward_to: HttpUrl | None = Field(
        default=None,
        description="OTLP/HTTP collector, without /v1/traces, to which everything received is sent on unchanged.",
    )
    forward_queue_spans: int = Field(
        default=20_000, ge=1, description="Spans and log records that wait for forward_to; beyond that the oldest go."
    )
    max_body_bytes: int = Field(
        default=4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024, description="Largest body taken, also when unpacked."
    )
    keep_minutes: float = Field(
        default=60.0, gt=0, description="How long traces of probe requests stay in memory; they are not stored on disk."
    )
    span_delay_seconds: float = Field(
        default=3.0, ge=0, le=60, description="Longest wait at the end of a run for spans that are still on their way."
    )


class SteadyState(Section):
    """What must hold before a run may begin."""

    window_seconds: float = Field(default=10.0, gt=0, description="How far to look back.")
    min_requests: int = Field(default=10, ge=1, description="Requests that must have ended in the window.")
    max_bad_ratio: float = Field(default=0.05, ge=0, lt=1, description="Largest share of bad requests.")


class GuardSpec(Section):
    """Rules that may refuse a run."""

    cooldown_seconds: float = Field(default=30.0, ge=0, description="Quiet time after a run before the next.")
    steady_state: SteadyState = Field(default=SteadyState(), description="What must hold before a run may begin.")
    max_percent: float = Field(
        default=100.0, gt=0, le=100, description="Largest share of a component's instances that a fault may touch."
    )
    allowed_kinds: tuple[str, ...] | None = Field(default=None, description="Fault kinds that may run; all by default.")


class RunSpec(Section):
    """How a run is measured."""

    baseline_seconds: float = Field(
        default=30.0, gt=0, description="Stretch before the fault that says what normal is."
    )
    hold_seconds: float = Field(default=10.0, gt=0, description="Recovered only after this long at the baseline ratio.")
    hold_requests: int = Field(default=10, ge=1, description="... and after at least this many requests.")
    horizon_seconds: float = Field(
        default=120.0, gt=0, description="Longest wait for recovery after the fault has ended; then not_recovered."
    )
    observe_seconds: float = Field(
        default=20.0,
        ge=0,
        description="Least time watched after the fault ended, so that late harm (a lease that expires) is not missed.",
    )
    revert_timeout_seconds: float = Field(default=10.0, gt=0, description="Longest wait for one revert attempt.")


class SloSpec(Section):
    """What users are promised over weeks, faults included; budgets and alerts follow from it."""

    good_ratio: float = Field(default=0.99, gt=0, lt=1, description="Share of probe requests that shall be good.")
    period_hours: float = Field(
        default=168.0, ge=6, le=24 * 90, description="Stretch over which the error budget is counted."
    )


class CronTiming(Section):
    """Fire by a cron expression."""

    cron: str = Field(description="Five fields: minute hour day month weekday.")


class IntervalTiming(Section):
    """Fire at a fixed interval."""

    every_seconds: float = Field(ge=1, description="Time between two firings.")


class RandomTiming(Section):
    """Fire at random instants inside a daily window; the plan of a day follows from the seed."""

    random_per_day: int = Field(ge=1, le=1000, description="Firings per day.")
    between: tuple[str, str] = Field(default=("00:00", "24:00"), description="Daily window, HH:MM to HH:MM.")
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = Field(
        default=("mon", "tue", "wed", "thu", "fri", "sat", "sun"), description="Weekdays on which it fires."
    )
    min_gap_seconds: float = Field(default=300.0, ge=0, description="Least time between two firings of a day.")


class ScheduleSpec(Section):
    """When which faults run."""

    name: Name = Field(description="Name of the schedule; a metric label.")
    faults: tuple[str, ...] = Field(min_length=1, description="Catalogue names; each firing picks one (seeded).")
    timing: CronTiming | IntervalTiming | RandomTiming = Field(description="cron, every_seconds or random_per_day.")
    timezone: str = Field(default="UTC", description="IANA time zone of cron and daily windows.")
    seed: int = Field(default=0, description="Seed of every random choice of this schedule.")
    control_share: float = Field(
        default=0.0, ge=0, le=1, description="Share of firings that inject nothing (`none`) and measure everything."
    )
    missed_after_seconds: float = Field(
        default=60.0, gt=0, description="A firing later than this (service was down or busy) is skipped, never made up."
    )
    enabled: bool = Field(default=True, description="False keeps the schedule and fires nothing.")


class StoreSpec(Section):
    """Where results are kept."""

    url: str | None = Field(
        default=None,
        description="postgresql://USER@HOST/DATABASE, or a SQLAlchemy URL of SQLite; by default SQLite in data_dir. "
        "Give passwords by the environment: AFTERSHOCK_STORE__URL, or PGPASSWORD.",
    )
    keep_records_hours: float = Field(
        default=24.0, gt=0, description="After this, good requests are folded into one row a minute; bad ones stay."
    )
    keep_runs_days: float = Field(default=400.0, gt=0, description="After this, runs and bad requests are deleted.")


class ApiSpec(Section):
    """The service's own address."""

    listen: str = Field(default="127.0.0.1:8600", description="host:port. Beyond loopback a token is required.")
    token_env: str | None = Field(default=None, description="Environment variable that holds the bearer token.")


Probes = Annotated[tuple[ProbeSpec, ...], Field(min_length=1)]


class Settings(BaseSettings):
    """Everything the service is told."""

    model_config = SettingsConfigDict(
        env_prefix="AFTERSHOCK_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Field(default=Path(".data/aftershock"), description="Folder for the store.")
    probe_dir: Path | None = Field(
        default=None,
        description="Folder for what the probes write while they run; data_dir/probes by default. "
        "On a file system of its own, a store that is full does not end the measuring.",
    )
    deployment: DeploymentSpec = Field(description="The system under test.")
    probes: Probes = Field(description="Continuous loads.")
    prometheus: PrometheusSpec | None = Field(default=None, description="Server witness; absent without it.")
    traces: TracesSpec | None = Field(default=None, description="Trace witness; absent without it.")
    faults: dict[FaultName, ConfiguredEntry] = Field(
        default_factory=dict,
        description="Further catalogue entries, and objectives for built-in ones by the same name.",
    )
    schedules: tuple[ScheduleSpec, ...] = Field(default=(), description="When which faults run.")
    notify: tuple[NotifySpec, ...] = Field(default=(), description="Who is told how runs ended.")
    guard: GuardSpec = Field(default=GuardSpec(), description="Rules that may refuse a run.")
    run: RunSpec = Field(default=RunSpec(), description="How a run is measured.")
    slo: SloSpec = Field(default=SloSpec(), description="What users are promised over weeks.")
    store: StoreSpec = Field(default=StoreSpec(), description="Where results are kept.")
    api: ApiSpec = Field(default=ApiSpec(), description="The service's own address.")
    leader: LeaderSpec = Field(default=LeaderSpec(), description="Several replicas of which one leads.")

    @field_validator("faults")
    @classmethod
    def _has_a_fault(cls, entries: dict[str, ConfiguredEntry]) -> dict[str, ConfiguredEntry]:
        known = builtin()
        for name, entry in entries.items():
            if entry.fault is None and name not in known:
                raise ValueError(f"{name} is no built-in fault, so it needs `fault: {{kind: ...}}`")
        return entries
