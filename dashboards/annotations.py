"""Faults, incidents and alerts on the time axis of every panel, by queries on metrics: no token, no writes to Grafana.

Grafana joins samples above zero that are no more than a step apart into a region. `max_over_time` keeps a
fault that is shorter than a step; the plain gauge beside it is for scrapes that are further apart than a step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboards.panels import DATASOURCE
from dashboards.promql import own

STEP = "15s"


def annotation(
    name: str, expr: str, colour: str, title: str, text: str = "", *, exact: bool = False, shown: bool = True
) -> dict[str, Any]:
    """An annotation query. `exact`: the value is the instant, in milliseconds since 1970."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": shown,
        "hide": False,
        "iconColor": colour,
        "expr": expr,
        "step": STEP,
        "titleFormat": title,
        "textFormat": text,
        "tagKeys": "",
        "useValueForTime": exact,
        "target": {"expr": expr, "refId": "Anno", "interval": STEP},
    }


def _over_step(selector: str) -> str:
    return f"(max_over_time({selector}[{STEP}]) or {selector})"


_ACTIVE = own("fault_active", 'component!=""')
_ENDS = own("fault_last_timestamp_seconds", 'phase=~"injected|reverted"')
_EVERY_PHASE = own("fault_last_timestamp_seconds", 'fault=~"$fault"')

FAULT_REGIONS = annotation(
    "Faults",
    f"max by (fault, component) ({_over_step(_ACTIVE)}) > 0",
    "purple",
    "{{fault}}",
    "acts on {{component}}",
)
INSTANTS = annotation(
    "Injected and put back",
    f"max by (fault, phase) ({_ENDS}) * 1000 > 0",
    "purple",
    "{{fault}} {{phase}}",
    exact=True,
)
PHASES = annotation(
    "Phases",
    f"max by (fault, phase) ({_EVERY_PHASE}) * 1000 > 0",
    "purple",
    "{{phase}}",
    "{{fault}}",
    exact=True,
)
INCIDENTS = annotation(
    "Incidents", f"{_over_step(own('incident_active'))} > 0", "red", "incident", "errors with no fault active"
)
STOPS = annotation("Emergency stop", f"{_over_step(own('stopped'))} > 0", "yellow", "emergency stop", shown=False)
ALERTS = annotation(
    "Alerts",
    'max by (alertname, severity) (ALERTS{alertname=~"Aftershock.+",alertstate="firing",alertname!="AftershockFaultActive"})',
    "orange",
    "{{alertname}}",
    "{{severity}}",
    shown=False,
)

ALL_ANNOTATIONS: tuple[Mapping[str, Any], ...] = (FAULT_REGIONS, INSTANTS, INCIDENTS, STOPS, ALERTS)
RUN_ANNOTATIONS: tuple[Mapping[str, Any], ...] = (FAULT_REGIONS, PHASES, INCIDENTS, STOPS, ALERTS)
