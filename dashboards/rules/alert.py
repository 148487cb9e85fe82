"""An alerting rule as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from dashboards.rules.facts import Facts

Severity = Literal["page", "ticket", "info"]
INHIBITED = "inhibited_by"
PLANNED = "planned_fault"


@dataclass(frozen=True)
class Alert:
    """`summary` and `description` may hold Prometheus templates; `hold` is how long it must be true, as a duration."""

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    hold: str = "0s"
    labels: Mapping[str, str] = field(default_factory=dict)
    symptom: bool = False
    """A symptom of the deployment, which a planned fault explains; Alertmanager may hold it back meanwhile."""

    def rule(self, facts: Facts) -> dict[str, Any]:
        """As Prometheus reads it."""
        extra = {INHIBITED: PLANNED} if self.symptom else {}
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.hold,
            "labels": {"severity": self.severity, "deployment": facts.deployment, **extra, **self.labels},
            "annotations": {
                "summary": self.summary,
                "description": self.description,
                "runbook_url": f"{facts.runbooks}/{self.name}.md",
            },
        }
