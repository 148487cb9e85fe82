"""Mistakes that need more than one value, or the world outside the file, to be seen."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from faults.base import Fault, FaultError, Objectives
from faults.entry import FaultEntry
from faults.pods.selection import PodFault
from faults.targets.state import INSTANCES_FILE, StateReader
from monitor.config.problem import Finding, near, path_text, shown
from monitor.config.sense_leader import leader_findings
from monitor.config.sense_listen import listen_findings
from monitor.config.sense_prometheus import prometheus_findings
from monitor.config.sense_timing import timing_findings
from monitor.config.settings import Settings
from monitor.config.targets import KubernetesTargetSpec, LocalTargetSpec
from monitor.config.yamlfile import Location
from probes.spec import ProbeSpec


@dataclass(frozen=True, slots=True)
class Scene:
    """What the checks look at. `entries` is the whole catalogue, `named` also holds names whose entry is broken."""

    settings: Settings
    entries: Mapping[str, FaultEntry]
    named: frozenset[str]
    kinds: tuple[str, ...]
    env: Mapping[str, str]


def findings(scene: Scene) -> list[Finding]:
    """All mistakes of sense."""
    return [finding for check in CHECKS for finding in check(scene)]


# --- probes ---------------------------------------------------------------------------------------


def _probes(scene: Scene) -> Iterator[Finding]:
    yield from _twice("probes", [probe.name for probe in scene.settings.probes])
    for index, probe in enumerate(scene.settings.probes):
        at = ("probes", index)
        yield from _limits(probe, at)
        yield from _enough_requests(probe, at, scene.settings)


def _limits(probe: ProbeSpec, at: Location) -> Iterator[Finding]:
    timeout, uses = probe.request_timeout_seconds, ((*at, "request_timeout_seconds"),)
    right = f"must be below request_timeout_seconds ({timeout:g}), which ends the request first"
    limits = {
        ("overdue_seconds",): probe.overdue_seconds,
        ("slow", "first_token_seconds"): probe.slow.first_token_seconds,
        ("slow", "gap_seconds"): probe.slow.gap_seconds,
        ("slow", "total_seconds"): probe.slow.total_seconds,
    }
    for path, value in limits.items():
        if value is not None and value >= timeout:
            yield Finding((*at, *path), f"{value:g} can never be reached", right, uses)


def _enough_requests(probe: ProbeSpec, at: Location, settings: Settings) -> Iterator[Finding]:
    run, steady, rate = settings.run, settings.guard.steady_state, probe.request_rate
    rate_at = (*at, "request_rate")
    if run.baseline_seconds * rate < run.hold_requests:
        yield Finding(
            ("run", "baseline_seconds"),
            f"{run.baseline_seconds:g} s of {path_text(at)} at {rate:g}/s are fewer requests than hold_requests ({run.hold_requests}), so every run would be inconclusive",
            f"at least {run.hold_requests / rate:g}",
            (rate_at, ("run", "hold_requests")),
        )
    if steady.window_seconds * rate < steady.min_requests:
        yield Finding(
            ("guard", "steady_state", "window_seconds"),
            f"{steady.window_seconds:g} s of {path_text(at)} at {rate:g}/s are fewer requests than min_requests ({steady.min_requests}), so no run could ever begin",
            f"at least {steady.min_requests / rate:g}, or a lower min_requests",
            (rate_at, ("guard", "steady_state", "min_requests")),
        )


# --- schedules ------------------------------------------------------------------------------------


def _schedules(scene: Scene) -> Iterator[Finding]:
    yield from _twice("schedules", [schedule.name for schedule in scene.settings.schedules])
    for index, schedule in enumerate(scene.settings.schedules):
        at = ("schedules", index)
        yield from timing_findings(schedule, at)
        for position, name in enumerate(schedule.faults):
            yield from _scheduled_fault(scene, name, (*at, "faults", position))


def _scheduled_fault(scene: Scene, name: str, at: Location) -> Iterator[Finding]:
    if name not in scene.named:
        yield Finding(at, f"no fault is called {shown(name)}", near(name, scene.named))
        return
    entry, given = scene.entries.get(name), scene.settings.faults.get(name)
    # A fault that the configuration itself describes is judged where it does so.
    if entry is not None and (given is None or given.fault is None):
        yield from _can_run(scene, name, entry.fault, at)


def _can_run(scene: Scene, name: str, fault: Fault, at: Location) -> Iterator[Finding]:
    """Whether the guard and the target would ever let a fault run."""
    uses: tuple[Location, ...] = (("faults", name), ("deployment", "target"), ("guard", "allowed_kinds"))
    allowed = scene.settings.guard.allowed_kinds
    if allowed is not None and fault.kind not in allowed:
        right = f"add {fault.kind} to guard.allowed_kinds, or take {name} out"
        yield Finding(at, f"{name} is of kind {fault.kind}, which guard.allowed_kinds does not allow", right, uses)
    if fault.kind == "none":
        return
    if scene.settings.deployment.target is None:
        right = "configure deployment.target; without one only `none` can run"
        yield Finding(at, f"{name} needs a target and none is configured", right, uses)
        return
    if isinstance(fault, PodFault) and not isinstance(scene.settings.deployment.target, KubernetesTargetSpec):
        right = "configure a target of kind kubernetes, or take it out"
        yield Finding(at, f"{name} acts on pods, and the target is of kind local", right, uses)
        return
    known, wanted = known_components(scene.settings), components_of(fault)
    if known and wanted and not known.intersection(wanted):
        what = f"{name} acts on component {' or '.join(wanted)}, which the target does not have"
        yield Finding(at, what, near(wanted[0], known), uses)


def components_of(fault: Fault) -> tuple[str, ...]:
    """Names of the components that a fault may pick, the first that exists is taken; empty when it picks none."""
    given: Any = getattr(fault, "component", ())
    return (given,) if isinstance(given, str) else tuple(given)


def known_components(settings: Settings) -> frozenset[str]:
    """Components of the target, where they can be known without asking it; empty when they cannot."""
    target = settings.deployment.target
    if isinstance(target, KubernetesTargetSpec):
        selected = frozenset(one.component for one in target.components)
        return selected if target.graph_deployment is None else frozenset()
    if target is None:
        return frozenset()
    attached = {one.component for one in target.attach}
    if target.supervisor_dir is None:
        return frozenset(attached)
    if not (target.supervisor_dir / INSTANCES_FILE).is_file():
        return frozenset()
    try:
        supervised = {one.component for one in StateReader(target.supervisor_dir.absolute()).instances()}
    except FaultError:
        return frozenset()
    return frozenset(attached | supervised) if supervised else frozenset()


# --- faults and their objectives ------------------------------------------------------------------


def _faults(scene: Scene) -> Iterator[Finding]:
    for name, given in scene.settings.faults.items():
        entry = scene.entries.get(name)
        if entry is None:
            continue
        at: Location = ("faults", name)
        if given.fault is not None:
            yield from _can_run(scene, name, entry.fault, (*at, "fault"))
        yield from _objectives(scene.settings, entry.fault, given.objectives, (*at, "objectives"))


def _objectives(settings: Settings, fault: Fault, objectives: Objectives, at: Location) -> Iterator[Finding]:
    finest = max(probe.request_rate for probe in settings.probes)
    longest = settings.run.horizon_seconds + fault.duration_seconds_or_zero
    rates = tuple(("probes", index, "request_rate") for index in range(len(settings.probes)))
    for name in ("recovery_seconds", "error_window_seconds"):
        limit = getattr(objectives, name)
        # Zero asks for a fault that nobody feels, which a run without impact does meet.
        if limit is None or limit == 0:
            continue
        if limit < 1 / finest:
            what = (
                f"{limit:g} s can never be met: the probes start a request every {1 / finest:g} s and see nothing finer"
            )
            yield Finding(
                (*at, name), what, f"at least {1 / finest:g}, 0 for no impact at all, or a higher rate", rates
            )
        if limit > longest:
            what = f"{limit:g} s can never be judged: a run is watched for at most {longest:g} s"
            right = f"at most {longest:g}, or a longer run.horizon_seconds"
            yield Finding((*at, name), what, right, (("run", "horizon_seconds"), (*at[:2], "fault")))


# --- the rest -------------------------------------------------------------------------------------


def _deployment(scene: Scene) -> Iterator[Finding]:
    endpoint, target = scene.settings.deployment.endpoint, scene.settings.deployment.target
    if endpoint.api_key_env is not None:
        yield from _variable(scene, endpoint.api_key_env, ("deployment", "endpoint", "api_key_env"))
    for index, attach in enumerate(target.attach if isinstance(target, LocalTargetSpec) else ()):
        try:
            re.compile(attach.pattern)
        except re.error as error:
            at = ("deployment", "target", "attach", index, "pattern")
            what = f"{shown(attach.pattern)} is not a regular expression: {error}"
            yield Finding(at, what, "put a backslash before characters that are meant as they are")


def _run(scene: Scene) -> Iterator[Finding]:
    run, guard = scene.settings.run, scene.settings.guard
    if run.hold_seconds >= run.horizon_seconds:
        what = f"{run.hold_seconds:g} s can never be held within horizon_seconds ({run.horizon_seconds:g})"
        yield Finding(("run", "hold_seconds"), what, "must be below horizon_seconds", (("run", "horizon_seconds"),))
    for index, kind in enumerate(guard.allowed_kinds or ()):
        if kind not in scene.kinds:
            at = ("guard", "allowed_kinds", index)
            yield Finding(at, f"{shown(kind)} is not a kind of fault", near(kind, scene.kinds))


def _listen(scene: Scene) -> Iterator[Finding]:
    yield from listen_findings(scene.settings)
    for name in ("api", "traces"):
        variable = getattr(getattr(scene.settings, name), "token_env", None)
        if variable is not None:
            yield from _variable(scene, variable, (name, "token_env"))


def _notify(scene: Scene) -> Iterator[Finding]:
    specs = scene.settings.notify
    yield from _twice("notify", [spec.name for spec in specs])
    for index, spec in enumerate(specs):
        for field in ("url_env", "token_env"):
            variable = getattr(spec, field)
            if variable is not None:
                yield from _variable(scene, variable, ("notify", index, field))


def _prometheus(scene: Scene) -> Iterator[Finding]:
    if scene.settings.prometheus is not None:
        yield from prometheus_findings(scene.settings.prometheus)


def _store(scene: Scene) -> Iterator[Finding]:
    url = scene.settings.store.url
    if url is not None and not re.match(r"^[a-z][a-z0-9+_]*://", url):
        # The address may hold a password, so it is not repeated here.
        yield Finding(
            ("store", "url"), "is not a SQLAlchemy URL", "such as sqlite:////var/lib/aftershock/aftershock.db"
        )
    elif url is not None:
        from monitor.store import address  # noqa: PLC0415 - SQLAlchemy takes a while, and few give an address
        from monitor.store.errors import StoreError  # noqa: PLC0415

        try:
            address.parse(url)
        except StoreError as error:
            yield Finding(("store", "url"), str(error).removeprefix("store.url: "))


def _leader(scene: Scene) -> Iterator[Finding]:
    yield from leader_findings(scene.settings, scene.env)


def _variable(scene: Scene, name: str, at: Location) -> Iterator[Finding]:
    if not scene.env.get(name):
        yield Finding(at, f"the environment variable {name} is not set", "set it before the service starts")


def _twice(section: str, names: Iterable[str]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, name in enumerate(names):
        if name in first:
            at = (section, index, "name")
            uses = ((section, first[name], "name"),)
            yield Finding(
                at, f"{shown(name)} is the name of {section}[{first[name]}] already", "names must differ", uses
            )
        first.setdefault(name, index)


CHECKS: tuple[Callable[[Scene], Iterator[Finding]], ...] = (
    _deployment,
    _probes,
    _faults,
    _schedules,
    _run,
    _prometheus,
    _listen,
    _notify,
    _store,
    _leader,
)
