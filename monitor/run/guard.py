"""The rules that may refuse a run, each with a reason that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from faults.base import Fault, Instance
from monitor.config.settings import GuardSpec


class Rule(StrEnum):
    """Closed list, safe as a metric label."""

    STOPPED = "stopped"
    BUSY = "busy"
    COOLDOWN = "cooldown"
    PROBE = "probe"
    STEADY_STATE = "steady_state"
    STORE = "store"
    KIND = "kind"
    TARGET = "target"
    RIGHTS = "rights"
    PERCENT = "percent"
    CLOCK = "clock"
    OPEN_RECEIPT = "open_receipt"
    SHUTDOWN = "shutdown"
    MISSED = "missed"
    LEASE = "lease"


PASSING = frozenset({Rule.BUSY, Rule.COOLDOWN, Rule.PROBE, Rule.STEADY_STATE, Rule.STORE, Rule.CLOCK, Rule.LEASE})
"""What passes without anybody's help, so that it is worth asking again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a run may not begin. `holder` is the run in the way, if one is."""

    rule: Rule
    reason: str
    holder: str | None = None
    for_now: bool = False
    """Whether it passes though others by this rule do not."""

    @property
    def passing(self) -> bool:
        return self.for_now or self.rule in PASSING


@dataclass(frozen=True, slots=True)
class ProbeView:
    """A probe's last moments, by which the guard and the page judge."""

    name: str
    up: bool
    reason: str
    """Why it is not up."""
    window_seconds: float
    requests: int
    """That ended in the window."""
    bad: int
    """... badly."""
    overdue: int = 0
    """That hang for longer than they may."""


@dataclass(frozen=True, slots=True)
class Situation:
    """The state of the service at the moment of a request. Ages in seconds; None: never."""

    stopped_reason: str | None
    shutting_down: bool
    active_run: str | None
    stuck_run: str | None
    seconds_since_last_run: float | None
    seconds_since_clock_step: float | None
    has_target: bool
    store_trouble: str | None
    probes: Sequence[ProbeView]
    lease_trouble: str | None = None
    """Why this replica may touch nothing at this moment."""


def refusal(fault: Fault, situation: Situation, spec: GuardSpec, baseline_seconds: float) -> Refusal | None:
    """The first rule that refuses, hardest first; None when the run may begin."""
    return (
        _lease(situation)
        or _switches(situation)
        or _kind(fault, situation, spec)
        or _timing(situation, spec, baseline_seconds)
        or _steady(situation.probes, spec)
    )


def _lease(now: Situation) -> Refusal | None:
    if now.lease_trouble is None:
        return None
    return Refusal(Rule.LEASE, f"nothing may be touched now: {now.lease_trouble}")


def _switches(now: Situation) -> Refusal | None:
    if now.shutting_down:
        return Refusal(Rule.SHUTDOWN, "the service is shutting down")
    if now.stopped_reason is not None:
        return Refusal(Rule.STOPPED, f"stopped: {now.stopped_reason}; `aftershock resume` releases it")
    if now.active_run is not None:
        return Refusal(Rule.BUSY, f"run {now.active_run} is active on this deployment", now.active_run)
    if now.stuck_run is not None:
        text = f"run {now.stuck_run} is not reverted yet; see `aftershock runs show {now.stuck_run}`, try `aftershock recover {now.stuck_run}`"
        return Refusal(Rule.OPEN_RECEIPT, text, now.stuck_run)
    if now.store_trouble is not None:
        return Refusal(Rule.STORE, f"results cannot be stored: {now.store_trouble}")
    return None


def _kind(fault: Fault, now: Situation, spec: GuardSpec) -> Refusal | None:
    if spec.allowed_kinds is not None and fault.kind not in spec.allowed_kinds:
        return Refusal(
            Rule.KIND, f"kind {fault.kind} is not among guard.allowed_kinds ({', '.join(spec.allowed_kinds)})"
        )
    if fault.kind != "none" and not now.has_target:
        return Refusal(Rule.TARGET, "the configuration has no deployment.target, so only `none` can run")
    return None


def _timing(now: Situation, spec: GuardSpec, baseline_seconds: float) -> Refusal | None:
    age = now.seconds_since_last_run
    if age is not None and age < spec.cooldown_seconds:
        return Refusal(
            Rule.COOLDOWN, f"cooldown: {spec.cooldown_seconds - age:.0f} s left of {spec.cooldown_seconds:g} s"
        )
    step = now.seconds_since_clock_step
    if step is not None and step < baseline_seconds:
        return Refusal(
            Rule.CLOCK, f"the system clock stepped {step:.0f} s ago; a new baseline needs {baseline_seconds:g} s"
        )
    return None


def _steady(probes: Sequence[ProbeView], spec: GuardSpec) -> Refusal | None:
    want = spec.steady_state
    for probe in probes:
        asked, bad, window = probe.requests + probe.overdue, probe.bad + probe.overdue, probe.window_seconds
        if not probe.up:
            return Refusal(Rule.PROBE, f"probe {probe.name} is not sending: {probe.reason}")
        if asked < want.min_requests:
            text = f"probe {probe.name}: {asked} requests ended in the last {window:g} s, steady state needs {want.min_requests}"
            return Refusal(Rule.STEADY_STATE, text)
        if bad > want.max_bad_ratio * asked:
            text = f"probe {probe.name}: {bad} of {asked} requests were bad in the last {window:g} s, steady state allows {want.max_bad_ratio:.0%}"
            return Refusal(Rule.STEADY_STATE, text)
    return None


def rights_refusal(kind: str, missing: Sequence[str]) -> Refusal | None:
    """Refuse a fault before it begins, where the cluster would refuse it in the middle."""
    if not missing:
        return None
    return Refusal(
        Rule.RIGHTS, f"kind {kind} lacks the right to {', to '.join(missing)}: grant it, for example by a Role"
    )


def percent_refusal(instances: Sequence[Instance], populations: Mapping[str, int], spec: GuardSpec) -> Refusal | None:
    """Refuse a fault that touches a larger share of any component than guard.max_percent."""
    for component, population in populations.items():
        touched = len({i.name for i in instances if i.component == component})
        share = 100 * touched / population if population else 0.0
        if share > spec.max_percent:
            text = f"{touched} of {population} instances of {component} are {share:.0f} %, guard.max_percent allows {spec.max_percent:g} %"
            return Refusal(Rule.PERCENT, text)
    return None
