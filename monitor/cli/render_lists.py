"""Lists for people: runs, faults, schedules, the service at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monitor.cli.figures import NOTHING, instance_names, local_time, met_text, number, percent, seconds, words
from monitor.cli.render import heading, pairs, say, table
from monitor.measure.controls import ControlResult
from monitor.model import Run


def list_runs(runs: Sequence[Run], total: int) -> None:
    """Runs, one a line."""
    if not runs:
        say("no runs")
        return
    head = ("run", "requested", "fault", "instance", "verdict", "failed", "error window", "recovery", "objectives")
    table(head, [_run_row(run) for run in runs])
    if total > len(runs):
        say(f"{len(runs)} of {total} runs; --limit shows more")


def _run_row(run: Run) -> tuple[str, ...]:
    client = run.witness("client")
    return (
        run.id,
        local_time(run.t_requested),
        run.fault_name,
        instance_names(run),
        run.verdict.value if run.verdict is not None else f"({run.phase.value})",
        number(client.failed_requests if client else None),
        seconds(client.error_window_seconds, at_least=client.censored) if client else NOTHING,
        seconds(client.recovery_from_effect_seconds, at_least=client.censored) if client else NOTHING,
        met_text(run),
    )


def show_dry_run(dry: Mapping[str, Any]) -> None:
    """What a run would do."""
    spec = dry.get("spec", {})
    rows = [("fault", f"{dry.get('fault')} ({spec.get('kind', '?')})")]
    rows += [(f"  {key}", str(value)) for key, value in spec.items() if key != "kind" and value is not None]
    instances = dry.get("instances") or []
    rows += [("would act on", _instance(one)) for one in instances] or [("would act on", "nothing")]
    refused = dry.get("would_be_refused")
    rows.append(("would be refused", str(refused)) if refused else ("may run", "yes"))
    pairs(rows)


def _instance(instance: Mapping[str, Any]) -> str:
    processes = instance.get("processes") or ([instance["process"]] if instance.get("process") else [])
    named = words(f"pid {one.get('pid')} {one.get('command', '')}" for one in processes)
    return f"{instance.get('name')}: {named}"


def show_report(report: Mapping[str, Any]) -> None:
    """What a stop or a recover put back."""
    for one in report.get("reverted", []):
        say(f"{one.get('run_id')}: {one.get('outcome')}: {one.get('summary')}")
    for one in report.get("failed", []):
        say(f"{one.get('run_id')}: could not be put back: {one.get('reason')}")
    if not report.get("reverted") and not report.get("failed"):
        say("nothing had to be put back")


def show_status(status: Mapping[str, Any]) -> None:
    """The service at a glance."""
    pairs(_status_rows(status))
    heading("Probes")
    head = ("probe", "sending", "requests/s", "bad, last 10 s", "in flight", "overdue", "sent", "lost")
    table(head, [_probe_row(one) for one in status.get("probes", [])])
    schedules = status.get("schedules", [])
    if schedules:
        heading("Schedules")
        table(("schedule", "next"), [(one["name"], local_time(one["next_ns"])) for one in schedules])


def _status_rows(status: Mapping[str, Any]) -> list[tuple[str, str]]:
    stopped, run, incident = status.get("stopped"), status.get("active_run"), status.get("incident")
    store = status.get("store") or {}
    rows = [("deployment", str(status.get("deployment"))), ("version", str(status.get("version")))]
    if stopped:
        since = local_time(stopped.get("since_ns"))
        rows.append(
            (
                "stopped",
                f"since {since} by {stopped.get('by')}: {stopped.get('reason')}; `aftershock resume` releases it",
            )
        )
    rows.append(("active run", f"{run['id']}: {run['fault_name']}, {run['phase']}" if run else "none"))
    if incident:
        rows.append(("incident", f"since {local_time(incident.get('start_ns'))}: {incident.get('first_error')}"))
    rows.append(("incidents", _incidents(status)))
    rows.append(("control runs", _controls(status.get("control_runs") or {})))
    rows.append(("store", "fine" if store.get("ok") else f"refuses: {store.get('reason')}"))
    for name, source in (status.get("sources") or {}).items():
        rows.append((name, "up" if source.get("up") else f"down: {source.get('reason')}"))
    if status.get("page"):
        rows.append(("page", str(status["page"])))
    return rows


def _incidents(status: Mapping[str, Any]) -> str:
    found = status.get("incidents") or {}
    text = number(found.get("count", status.get("incidents_total")))
    last = found.get("last")
    if last is None:
        return text
    return f"{text}, {found.get('seconds', 0):.4g} s in all, the last at {local_time(last.get('start_ns'))}"


def _controls(found: Mapping[str, Any]) -> str:
    """An upper bound of nothing is no figure: without a conclusive control run there is none."""
    counts = words(f"{found[name]} {name.replace('_', ' ')}" for name in map(str, ControlResult) if found.get(name))
    bound = found.get("rate_upper_95")
    if bound is None:
        return counts if counts != NOTHING else "none yet"
    return f"{counts}; false findings below {percent(bound)} (95 % confidence)"


def _probe_row(probe: Mapping[str, Any]) -> tuple[str, ...]:
    recent = probe.get("recent") or {}
    return (
        str(probe.get("name")),
        "yes" if probe.get("up") else "no",
        number(recent.get("rate")),
        f"{recent.get('bad', 0)} of {recent.get('requests', 0)}",
        number(probe.get("in_flight")),
        number(probe.get("overdue")),
        number(probe.get("sent")),
        number(probe.get("lost")),
    )


def list_schedules(schedules: Sequence[Mapping[str, Any]], count: int) -> None:
    """Schedules and what they will do."""
    if not schedules:
        say("no schedules are configured")
    for index, schedule in enumerate(schedules):
        if index:
            say()
        state = "" if schedule.get("enabled", True) else " (disabled)"
        share = f", control share {schedule.get('control_share', 0):.0%}" if schedule.get("control_share") else ""
        skipped = words(f"{n} {reason}" for reason, n in (schedule.get("skipped") or {}).items())
        say(
            f"{schedule.get('name')}{state}: {', '.join(schedule.get('faults', []))}{share}, {schedule.get('timezone')}"
        )
        if skipped != NOTHING:
            say(f"skipped so far: {skipped}")
        firings = schedule.get("next", [])[:count]
        if firings:
            table(("at", "fault"), [(local_time(one["at_ns"], millis=True), one["fault"]) for one in firings])
        else:
            say("no firings to come")
