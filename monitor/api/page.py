"""A plain page at /: whole or not, what runs, what ran. It needs no script and no outside resource."""

from __future__ import annotations

import asyncio
from html import escape

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from monitor.api.routes import Service
from monitor.model import Run

router = APIRouter(include_in_schema=False)

STYLE = """
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}body{margin:2rem auto;max-width:72rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #8884}
th.n,td.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#c22}.good{color:#292}.wide{overflow-x:auto}
"""


@router.get("/", response_class=HTMLResponse)
async def index(service: Service) -> str:
    """The service at a glance, refreshed every two seconds."""
    status = service.status()
    runs, total = await asyncio.to_thread(service.reader.runs, limit=50)
    active = status["active_run"]
    incident = status["incident"]
    probes = "".join(_probe_row(p) for p in status["probes"])
    lines = [
        f"<p class=bad>Stopped: {escape(status['stopped']['reason'])}</p>" if status["stopped"] else "",
        f"<p class=bad>Incident since the last good requests: {escape(incident['first_error'])}</p>"
        if incident
        else "",
        f"<p>Run {escape(active['id'])}: {escape(active['fault_name'])}, {escape(active['phase'])}</p>"
        if active
        else "<p>No run is active.</p>",
    ]
    head = "<tr><th>probe<th>sending<th>requests/s<th>bad in the last 10 s<th>in flight<th>overdue<th>sent<th>lost</tr>"
    run_head = (
        "<tr><th>run<th>fault<th>instance<th>verdict<th>failed<th>error window<th>recovery<th>evidence or reason</tr>"
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<meta http-equiv=refresh content=2><title>aftershock</title>"
        f"<style>{STYLE}</style><h1>{escape(str(status['deployment']))}</h1>{''.join(lines)}"
        f"<div class=wide><table>{head}{probes}</table></div><h2>Runs ({total})</h2>"
        f"<div class=wide><table>{run_head}{''.join(_run_row(r) for r in runs)}</table></div>"
        "<p><a href=/docs>API</a> · <a href=/metrics>metrics</a> · <a href=/api/v1/status>status as JSON</a></p></html>"
    )


def _probe_row(probe: dict[str, object]) -> str:
    recent = probe["recent"]
    assert isinstance(recent, dict)  # noqa: S101 - shape of our own status
    up = "<td class=good>yes" if probe["up"] else "<td class=bad>no"
    cells = [
        recent["rate"],
        f"{recent['bad']} of {recent['requests']}",
        probe["in_flight"],
        probe["overdue"],
        probe["sent"],
        probe["lost"],
    ]
    return (
        f"<tr><td>{escape(str(probe['name']))}{up}" + "".join(f"<td class=n>{escape(str(c))}" for c in cells) + "</tr>"
    )


def _run_row(run: Run) -> str:
    client = run.witness("client")
    names = ", ".join(i.name for i in run.instances) or "-"
    verdict = run.verdict or run.phase
    figures = [
        client.failed_requests if client else None,
        _seconds(client.error_window_seconds if client else None),
        _seconds(client.recovery_from_effect_seconds if client else None),
    ]
    cells = "".join(f"<td class=n>{'-' if f is None else escape(str(f))}" for f in figures)
    why = run.reason or (run.evidence.summary if run.evidence else "")
    head = f"<tr><td><a href='/api/v1/runs/{escape(run.id)}'>{escape(run.id)}</a><td>{escape(run.fault_name)}<td>{escape(names)}<td>{escape(verdict)}"
    return f"{head}{cells}<td>{escape(why)}</tr>"


def _seconds(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} s"
