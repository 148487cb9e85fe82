"""What a person chooses at the top of a dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dashboards.panels import DATASOURCE

_EVERY = {"text": "All", "value": "$__all", "selected": True}
_ON_TIME_RANGE = 2
_HIDDEN = 2
_SERVER_METRICS = (
    "dynamo_frontend_requests_total|dynamo_component_requests_total|http_requests_total|"
    "vllm:num_requests_running|sglang:num_running_reqs"
)


@dataclass(frozen=True)
class Variable:
    """A choice among the values of a label. Everything is chosen at first.

    `unset_matches` lets "All" match series that do not have the label at all, such as `namespace` outside Kubernetes.
    """

    name: str
    label: str
    query: str
    several: bool = True
    hidden: bool = False
    unset_matches: bool = False

    def to_json_data(self) -> dict[str, Any]:
        """For grafanalib's encoder, in the form of current Grafana."""
        made: dict[str, Any] = {
            "type": "query",
            "name": self.name,
            "label": self.label,
            "datasource": DATASOURCE,
            "definition": self.query,
            "query": {"qryType": 1, "query": self.query, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "refresh": _ON_TIME_RANGE,
            "sort": 1,
            "multi": self.several,
            "includeAll": self.several,
            "hide": _HIDDEN if self.hidden else 0,
            "options": [],
            "current": dict(_EVERY) if self.several else {},
        }
        return made | ({"allValue": ".*"} if self.unset_matches else {})


@dataclass(frozen=True)
class DataSource(Variable):
    """Which Prometheus; a fixed uid would bind the dashboards to one Grafana."""

    name: str = "datasource"
    label: str = "Data source"
    query: str = "prometheus"

    def to_json_data(self) -> dict[str, Any]:
        """For grafanalib's encoder."""
        return {
            "type": "datasource",
            "name": self.name,
            "label": self.label,
            "query": self.query,
            "refresh": 1,
            "multi": False,
            "includeAll": False,
            "hide": 0,
            "options": [],
            "current": {},
        }


_CHOSEN = 'namespace=~"$namespace",deployment=~"$deployment"'
_OF_CHOSEN = 'namespace=~"$namespace",instance=~"$instance"'

COMMON: tuple[Variable, ...] = (
    DataSource(),
    Variable("namespace", "Namespace", "label_values(aftershock_build_info, namespace)", unset_matches=True),
    Variable(
        "deployment",
        "Deployment",
        'label_values(aftershock_build_info{namespace=~"$namespace"}, deployment)',
        unset_matches=True,
    ),
    Variable("instance", "Monitor", f"label_values(aftershock_build_info{{{_CHOSEN}}}, instance)", hidden=True),
)
PROBE = Variable("probe", "Probe", f"label_values(aftershock_probe_up{{{_OF_CHOSEN}}}, probe)", unset_matches=True)
FAULTS = Variable("fault", "Fault", f"label_values(aftershock_fault_active{{{_OF_CHOSEN}}}, fault)", unset_matches=True)
ONE_FAULT = Variable("fault", "Fault", FAULTS.query, several=False)
SERVER = Variable("server", "Server job", f'label_values({{__name__=~"{_SERVER_METRICS}"}}, job)', unset_matches=True)
