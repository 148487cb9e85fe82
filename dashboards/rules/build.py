"""The rule file, and what Alertmanager needs beside it."""

from __future__ import annotations

from typing import Any

import yaml

from dashboards.rules.alert import INHIBITED, PLANNED, Alert
from dashboards.rules.budget import budget_alerts
from dashboards.rules.facts import Facts
from dashboards.rules.faults import fault_alerts
from dashboards.rules.monitor import monitor_alerts
from dashboards.rules.recording import recording_groups
from dashboards.rules.windows import duration


def alerts(facts: Facts) -> list[Alert]:
    """Every alert of a deployment."""
    return [*budget_alerts(facts), *fault_alerts(facts), *monitor_alerts(facts)]


def rules(facts: Facts) -> dict[str, Any]:
    """The content of a Prometheus rule file, or of a PrometheusRule's `spec`."""
    alerting = {
        "name": f"aftershock-{facts.deployment}-alerts",
        "interval": duration(facts.scrape_seconds),
        "rules": [one.rule(facts) for one in alerts(facts)],
    }
    return {"groups": [*recording_groups(facts), alerting]}


def text_of(content: dict[str, Any]) -> str:
    """As YAML, in the order in which it was made."""
    return yaml.safe_dump(content, sort_keys=False, width=10_000, allow_unicode=True)


def inhibition() -> dict[str, Any]:
    """For Alertmanager's configuration: a planned fault holds back the alerts that it explains.

    Alerts of your own take part with the labels `inhibited_by: planned_fault` and `deployment`.
    """
    return {
        "inhibit_rules": [
            {
                "source_matchers": ['alertname="AftershockFaultActive"'],
                "target_matchers": [f'{INHIBITED}="{PLANNED}"'],
                "equal": ["deployment"],
            }
        ]
    }
