"""Writes the generated files of the chart: `python -m monitor.chart.build`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from dashboards.build import dashboards
from dashboards.build import text_of as dashboard_text
from dashboards.rules.build import rules, text_of
from faults.targets.kubernetes import FORBIDDEN_NAMESPACES
from monitor.chart.rights import table as rights
from monitor.chart.values import Group, Values
from monitor.config.settings import DeploymentSpec, Settings
from monitor.config.targets import KubernetesTargetSpec
from monitor.rules import facts_of
from probes.spec import EndpointSpec, ProbeSpec

CHART = Path(__file__).parents[2] / "helm" / "aftershock"
DEPLOYMENT = "the-deployment"
"""Stands for the deployment's name in the rules; the template puts the real one there."""
_MADE = "# Made from the code by `make docs`; changes here are lost.\n"

_SHARED_STORE = {
    "if": {"properties": {"replicas": {"minimum": 2}}},
    "then": {
        "properties": {
            "storage": {
                "properties": {"postgres": {"properties": {"existingSecret": {"minLength": 1}}}},
            }
        }
    },
}
"""Replicas share their store, which only a server lets them."""


def schema() -> dict[str, Any]:
    """values.schema.json. Unknown keys are refused everywhere, below `config` as the service itself would."""
    whole = Values.model_json_schema(by_alias=True)
    config = Settings.model_json_schema()
    shared = {**whole.pop("$defs"), **config.pop("$defs")}
    # The chart fills in what the values leave out: the folders, the API's address, the endpoint, the target.
    for name in ("DeploymentSpec", "EndpointSpec", "KubernetesTargetSpec"):
        shared[name].pop("required", None)
    config.pop("required", None)
    shared["DeploymentSpec"]["properties"]["target"] = {
        "$ref": "#/$defs/KubernetesTargetSpec",
        "description": "How faults reach it: always as pods of a namespace.",
    }
    for name in ("AttachSpec", "LocalTargetSpec"):
        shared.pop(name)
    shared["KubernetesTargetSpec"]["properties"]["namespace"]["not"] = {"enum": sorted(FORBIDDEN_NAMESPACES)}
    whole["properties"]["config"] = config
    whole["allOf"] = [_SHARED_STORE]
    # What helm puts there by itself.
    whole["properties"]["global"] = {"type": "object"}
    whole["$defs"] = {name: _as_written(name, one) for name, one in shared.items()}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_plain(whole), "title": "Values of aftershock"}


def _as_written(name: str, definition: dict[str, Any]) -> dict[str, Any]:
    """What may also be written as one word: pickers of instances and processes, and a component alone."""
    if name in {"Selector", "ProcessSelector"}:
        return {"anyOf": [{"type": "string"}, definition]}
    component = definition["properties"].get("component", {})
    if component.get("type") == "array":
        component["type"] = ["array", "string"]
    return definition


def _plain(node: Any) -> Any:
    """Without titles, which repeat the names, and with `discriminator` as conditions, so that mistakes have a path."""
    if isinstance(node, list):
        return [_plain(one) for one in node]
    if not isinstance(node, dict):
        return node
    if "discriminator" in node:
        return _by_kind(node["discriminator"]) | ({"default": node["default"]} if "default" in node else {})
    return {key: _plain(one) for key, one in node.items() if key != "title" or not isinstance(one, str)}


def _by_kind(discriminator: dict[str, Any]) -> dict[str, Any]:
    key, mapping = discriminator["propertyName"], discriminator["mapping"]
    cases = [
        {"if": {"properties": {key: {"const": kind}}, "required": [key]}, "then": {"$ref": where}}
        for kind, where in mapping.items()
    ]
    return {
        "type": "object",
        "required": [key],
        "properties": {key: {"enum": list(mapping)}},
        "allOf": cases,
    }


def values() -> str:
    """values.yaml: every default, with what it means."""
    lines = [
        *_commented(Values(), 0),
        "# The service's configuration: every setting of docs/settings.md. Keys, types and ranges are checked before anything is",
        "# installed; what needs more (a cron expression, a fault that a schedule names) when the service starts: see its log.",
        "# deployment.target, data_dir, probe_dir and api are set by the chart.",
        "config: {}",
    ]
    return _MADE + "\n".join(lines) + "\n"


def _commented(group: Group, depth: int) -> list[str]:
    lines, margin = [], "  " * depth
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        lines.append(f"{margin}# {field.description}")
        if isinstance(value, Group):
            lines += [f"{margin}{field.alias}:", *_commented(value, depth + 1)]
        else:
            lines.append(f"{margin}{field.alias}: {json.dumps(value)}")
    return lines


def values_table() -> str:
    """Every value, as rows of a Markdown table."""
    return "\n".join(["| value | default | meaning |", "| --- | --- | --- |", *_rows(Values(), "")])


def _rows(group: Group, prefix: str) -> list[str]:
    rows: list[str] = []
    for name, field in type(group).model_fields.items():
        value, path = getattr(group, name), f"{prefix}{field.alias}"
        if isinstance(value, Group):
            rows += _rows(value, f"{path}.")
        else:
            shown = f"`{json.dumps(value)}`" if value not in ("", [], {}) else ""
            rows.append(f"| `{path}` | {shown} | {field.description} |")
    return rows


def default_rules() -> dict[str, Any]:
    """The rules of a chart that was given an endpoint and a deployment and nothing else."""
    return rules(facts_of(Settings.model_validate(_minimal())))


def _minimal() -> dict[str, Any]:
    endpoint = EndpointSpec(url="http://endpoint", model="model")
    target = KubernetesTargetSpec(kind="kubernetes", namespace="default", graph_deployment="x")
    deployment = DeploymentSpec(name=DEPLOYMENT, endpoint=endpoint, target=target)
    return {"deployment": deployment, "probes": (ProbeSpec(name="chat"),)}


def files() -> dict[str, str]:
    """Every generated file, by its path in the chart."""
    boards = {f"generated/dashboards/{name}.json": dashboard_text(board) for name, board in dashboards().items()}
    return boards | {
        "values.yaml": values(),
        "values.schema.json": json.dumps(schema(), indent=2) + "\n",
        "generated/rights.yaml": _MADE + yaml.safe_dump(rights(), sort_keys=False),
        "generated/rules.yaml": _MADE + text_of(default_rules()),
    }


def main() -> None:
    """Renew the committed files."""
    for name, text in files().items():
        path = CHART / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
