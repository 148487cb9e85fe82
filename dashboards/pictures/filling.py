"""Queries of dashboards as Grafana sends them: panels found, variables put in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_INTERVAL = re.compile(r"(\d+)([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
GRAFANA_SCRAPE_SECONDS = 15
"""What a Prometheus data source of Grafana takes the scrape interval for, unless told otherwise."""


@dataclass(frozen=True)
class Variables:
    """What a person chose above a dashboard; the defaults are `All`."""

    instance: str
    """The aftershock that is looked at, as Prometheus calls it (host:port)."""
    fault: str = ".*"
    server: str = ".*"
    range_seconds: int = 3600
    rate_seconds: int = 4 * GRAFANA_SCRAPE_SECONDS
    """Grafana's $__rate_interval: at least four scrapes."""


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel but the row titles, those inside collapsed rows included."""
    for panel in dashboard["panels"]:
        yield from panel.get("panels", ())
        if panel["type"] != "row":
            yield panel


def seconds_of(interval: str) -> int:
    """A panel's least step, such as `10m`; 0 where it has none."""
    found = _INTERVAL.fullmatch(interval)
    return int(found[1]) * _SECONDS[found[2]] if found else 0


def with_values(expr: str, chosen: Variables, *, step: int = GRAFANA_SCRAPE_SECONDS) -> str:
    """The query with its variables put in. `step` in seconds."""
    values = {
        "$__rate_interval": f"{max(chosen.rate_seconds, step)}s",
        "$__interval": f"{step}s",
        "$__range": f"{chosen.range_seconds}s",
        "$namespace": ".*",
        "$deployment": ".*",
        "$instance": re.escape(chosen.instance).replace("\\", "\\\\"),
        "$server": chosen.server,
        "$probe": ".*",
        "$fault": chosen.fault,
    }
    for name, value in values.items():
        expr = expr.replace(name, value)
    return expr
