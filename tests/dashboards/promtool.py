"""Rules on made-up series, judged by `promtool test rules`."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dashboards.rules.build import rules, text_of
from dashboards.rules.facts import Facts
from tests.dashboards.queries import metric_names

STEP = 15
"""Seconds between samples; also the interval of evaluation."""
LABELS = 'job="aftershock",instance="a:8600"'
Values = Sequence[tuple[float, float]]
"""(minutes, value at that minute): straight lines from one to the next, flat after the last."""


@dataclass(frozen=True)
class Fires:
    """At a minute an alert must fire this many times."""

    minute: float
    times: int


def series(name: str, labels: str = "") -> str:
    """A series of the monitor."""
    return f"aftershock_{name}{{{labels + ',' if labels else ''}{LABELS}}}"


def flat(value: float) -> Values:
    return [(0, value)]


def steps(*changes: tuple[float, float]) -> Values:
    """A value that jumps: (minute, value from then on)."""
    made: list[tuple[float, float]] = []
    for minute, value in changes:
        if made:
            made.append((minute - STEP / 60, made[-1][1]))
        made.append((minute, value))
    return made


def _samples(values: Values, minutes: float, until: float | None, step: int) -> str:
    points = round(minutes * 60 / step) + 1
    written = []
    for index in range(points):
        at = index * step / 60
        written.append("_" if until is not None and at >= until else f"{_at(values, at):.6f}".rstrip("0").rstrip("."))
    return " ".join(written)


def _at(values: Values, minute: float) -> float:
    before = [one for one in values if one[0] <= minute + 1e-9]
    after = [one for one in values if one[0] > minute + 1e-9]
    last = before[-1] if before else values[0]
    if not after or not before:
        return last[1]
    share = (minute - last[0]) / (after[0][0] - last[0])
    return last[1] + share * (after[0][1] - last[1])


def _needed(content: dict[str, Any], alert: str) -> dict[str, Any]:
    """The alert with the recordings that it stands on; all alerts when the name is a pattern."""
    recorded = {one["record"] for group in content["groups"] for one in group["rules"] if "record" in one}
    chosen = [one for one in content["groups"][-1]["rules"] if re.fullmatch(alert, one["alert"])]
    assert chosen, f"there is no alert {alert}"
    wanted: set[str] = set()
    queue = [one["expr"] for one in chosen]
    while queue:
        fresh = (metric_names(queue.pop()) & recorded) - wanted
        wanted |= fresh
        queue += [r["expr"] for g in content["groups"] for r in g["rules"] if r.get("record") in fresh]
    groups = [
        group | {"rules": [one for one in group["rules"] if one.get("record") in wanted or one in chosen]}
        for group in content["groups"]
    ]
    return {"groups": [group for group in groups if group["rules"]]}


def firing(
    promtool: Path,
    folder: Path,
    alert: str,
    given: Mapping[str, Values],
    expected: Sequence[Fires],
    *,
    facts: Facts,
    until: Mapping[str, float] | None = None,
    labels: str = "",
    step: int = STEP,
) -> None:
    """Fails with promtool's own words unless the alert (a name or a pattern) fires exactly as expected.

    `until` ends a series at a minute; `labels` narrows what is counted; `step` may be longer for rules that stand on
    no recording, which count on the interval.
    """
    minutes = max(one.minute for one in expected) + 1
    (folder / "rules.yml").write_text(text_of(_needed(rules(facts), alert)), encoding="utf-8")
    ends = until or {}
    inputs = [
        {"series": name, "values": _samples(values, minutes, ends.get(name), step)} for name, values in given.items()
    ]
    chosen = f'ALERTS{{alertname=~"{alert}",alertstate="firing"{"," + labels if labels else ""}}}'
    checks = [
        {
            "expr": f"count({chosen}) or vector(0)",
            "eval_time": f"{round(one.minute * 60)}s",
            "exp_samples": [{"labels": "{}", "value": one.times}],
        }
        for one in expected
    ]
    content = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{step}s",
        "tests": [{"interval": f"{step}s", "input_series": inputs, "promql_expr_test": checks}],
    }
    # JSON is YAML, and much faster to write.
    (folder / "test.yml").write_text(json.dumps(content), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
