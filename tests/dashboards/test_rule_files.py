"""The rule file as a whole: promtool takes it, it names what exists, and people find what they need."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.rules.build import alerts, inhibition, rules, text_of
from dashboards.rules.facts import Facts, Schedule
from dashboards.rules.windows import MIN_REQUESTS, burn_windows, duration
from monitor.config.settings import ScheduleSpec, Settings
from monitor.rules import facts_of, firings_per_day
from tests.dashboards.queries import metric_names
from tests.dashboards.test_queries import known_names
from tests.dashboards.test_rules import FACTS
from tests.dashboards.world import World

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
BARE = Facts("bare", 0.5, 6 * 3600, 0.1, 30, ("p",), controls=())
FULL = replace(
    FACTS,
    period_seconds=28 * 86_400,
    limits={"worker": {"recovery_seconds": 20.0, "failed_requests": 5.0}, "frontend": {"error_window_seconds": 3.0}},
    schedules=(Schedule("a", ("worker", "frontend", "none"), 8), Schedule("b", ("frontend",), 0.1)),
    sources=("prometheus", "otlp"),
    controls=("none", "calm"),
)
HOUR, DAY = 3600, 86_400


def expressions(content: dict[str, Any]) -> list[str]:
    return [one["expr"] for group in content["groups"] for one in group["rules"]]


@pytest.mark.parametrize(
    "facts", [BARE, FACTS, FULL, replace(FULL, scrape_seconds=60)], ids=["bare", "soak", "full", "slow"]
)
def test_promtool_takes_the_file(facts: Facts, promtool: Path, tmp_path: Path) -> None:
    path = tmp_path / "rules.yml"
    path.write_text(text_of(rules(facts)), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("facts", [BARE, FACTS, FULL])
def test_rules_name_only_metrics_that_somebody_exports(facts: Facts) -> None:
    content = rules(facts)
    recorded = {one["record"] for group in content["groups"] for one in group["rules"] if "record" in one}
    for expr in expressions(content):
        assert metric_names(expr) <= known_names() | recorded, expr


def test_every_rule_answers_on_a_real_prometheus(played: World) -> None:
    facts = replace(FULL, deployment="demo", probes=("chat", "long"))
    for expr in expressions(rules(facts)):
        played.ask(expr)
    planned = next(e for e in expressions(rules(facts)) if "bool 0) or vector(0)" in e)
    during = played.ask(planned, at=played.since + 31 * 15)
    before = played.ask(planned, at=played.since + 20 * 15)
    assert (during[0]["value"][1], before[0]["value"][1]) == ("1", "0")


def test_every_alert_has_words_a_severity_and_a_runbook() -> None:
    listed = [one.rule(FULL) for one in alerts(FULL)]
    assert len({one["alert"] for one in listed}) == len(listed)
    for one in listed:
        assert one["labels"]["severity"] in {"page", "ticket", "info"}
        assert one["labels"]["deployment"] == "demo"
        assert one["annotations"]["summary"].startswith("demo: ")
        assert len(one["annotations"]["description"]) > 30
        assert one["annotations"]["runbook_url"] == f"docs/runbooks/{one['alert']}.md"
    assert {one["alert"] for one in listed} == {path.stem for path in RUNBOOKS.glob("*.md")}
    for path in RUNBOOKS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert re.match(rf"# {path.stem}\n\n.+\n\n## Look\n\n- (.|\n)+\n\n## Do\n\n- ", text), path.name
        for linked in re.findall(r"\((\w+\.md)\)", text):
            assert (RUNBOOKS / linked).exists(), linked


def test_words_are_filled_in_by_prometheus(promtool: Path, tmp_path: Path) -> None:
    """The templates of an alert with a label and a value."""
    gap = 'aftershock_probe_gap_seconds_total{probe="chat",job="aftershock",instance="a:8600"}'
    build = 'aftershock_build_info{deployment="demo",job="aftershock",instance="a:8600"}'
    rule = next(one.rule(FACTS) for one in alerts(FACTS) if one.name == "AftershockProbeGap")
    (tmp_path / "rules.yml").write_text(text_of({"groups": [{"name": "g", "rules": [rule]}]}), encoding="utf-8")
    expected = {
        "exp_labels": {"severity": "ticket", "deployment": "demo", "probe": "chat"},
        "exp_annotations": {
            "summary": "demo: the probe chat had gaps",
            "description": "20s of the last 15 minutes went by without requests. Runs that touch a gap are inconclusive.",
            "runbook_url": "docs/runbooks/AftershockProbeGap.md",
        },
    }
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": gap, "values": "0+1x40"}, {"series": build, "values": "1x40"}],
                "alert_rule_test": [{"eval_time": "30m", "alertname": "AftershockProbeGap", "exp_alerts": [expected]}],
            }
        ],
    }
    test["tests"][0]["input_series"][0]["values"] = " ".join(str(n * 4 / 3) for n in range(41))  # type: ignore[index]
    (tmp_path / "test.yml").write_text(yaml.safe_dump(test), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


# --- windows --------------------------------------------------------------------------------------


def test_windows_of_a_month_are_the_usual_ones() -> None:
    made = burn_windows(28 * DAY, 60, 10)
    assert [(one.long_seconds, one.short_seconds, round(one.factor, 2)) for one in made] == [
        (HOUR, 300, 14),
        (6 * HOUR, 1800, 7),
        (DAY, 2 * HOUR, 2),
        (4 * DAY, 8 * HOUR, 1),
    ]
    assert [one.severity for one in made] == ["page", "page", "ticket", "ticket"]


def test_windows_of_a_soak_have_a_floor_and_burn_the_same_share() -> None:
    made = burn_windows(6 * HOUR, 60, 10)
    assert [one.long_seconds for one in made] == [300, 13 * 60, 52 * 60]
    assert all(one.short_seconds >= 120 for one in made)
    assert made[0].factor == pytest.approx(14 / 672 * 6 * HOUR / 300)


@pytest.mark.parametrize("period", [6 * HOUR, DAY, 3 * DAY, 7 * DAY, 28 * DAY, 90 * DAY])
@pytest.mark.parametrize("rate", [0.02, 0.5, 50.0])
@pytest.mark.parametrize("rate_window", [60, 240])
def test_windows_can_always_be_judged(period: float, rate: float, rate_window: float) -> None:
    made = burn_windows(period, rate_window, rate)
    assert made[0].severity == "page"
    assert [one.long_seconds for one in made] == sorted({one.long_seconds for one in made})
    for one in made:
        assert one.long_seconds * rate >= MIN_REQUESTS * 0.999
        assert one.long_seconds > one.short_seconds >= 2 * rate_window
        assert one.factor >= 1
        for goal in (0.1, 0.5, 0.9, 0.99, 0.9999):
            assert 1 - goal <= one.threshold(goal) + 1e-9 or goal == 0.1
            assert one.threshold(goal) <= 0.9, "more than that can never be seen"


def test_durations_are_written_as_prometheus_reads_them() -> None:
    listed = {0: "0s", 15: "15s", 60: "1m", 90: "1m30s", 5400: "1h30m", DAY: "1d", 28 * DAY: "28d", 90061: "1d1h1m1s"}
    assert {seconds: duration(seconds) for seconds in listed} == listed


def test_sloths_names_are_there_for_both_objectives() -> None:
    names = [one.get("record") for group in rules(FULL)["groups"] for one in group["rules"]]
    meta = ("slo:objective:ratio", "slo:error_budget:ratio", "slo:time_period:days", "slo:current_burn_rate:ratio")
    meta += ("slo:period_burn_rate:ratio", "slo:period_error_budget_remaining:ratio", "sloth_slo_info")
    for name in (*meta, "slo:sli_error:ratio_rate5m", "slo:sli_error:ratio_rate28d"):
        assert names.count(name) == 2, name
    for group in rules(FULL)["groups"]:
        for one in group["rules"]:
            if one.get("record", "").startswith("slo:sli_error"):
                assert one["labels"]["sloth_window"] == one["record"].removeprefix("slo:sli_error:ratio_rate")


# --- from settings --------------------------------------------------------------------------------


def settings(**more: Any) -> Settings:
    body: dict[str, Any] = {
        "deployment": {"name": "prod", "endpoint": {"url": "http://127.0.0.1:1", "model": "m"}},
        "probes": [{"name": "chat", "request_rate": 3}, {"name": "long", "request_timeout_seconds": 90}],
        "faults": {
            "worker": {"objectives": {"recovery_seconds": 12}},
            "calm": {"fault": {"kind": "none"}},
        },
    }
    return Settings(**(body | more))


def test_the_facts_are_those_of_the_settings() -> None:
    facts = facts_of(settings(), runbooks="https://x/")
    assert facts.deployment == "prod"
    assert facts.request_rate == 5.0
    assert facts.request_timeout_seconds == 90
    assert facts.limits == {"worker": {"recovery_seconds": 12.0}}
    assert set(facts.controls) == {"none", "calm"}
    assert facts.lag_seconds == 90 + 15 + 60
    assert facts.runbooks == "https://x"
    assert facts.sources == ()
    more = facts_of(settings(prometheus={"url": "http://p:9090"}, traces={}))
    assert more.sources == ("prometheus", "otlp")


@pytest.mark.parametrize(
    ("timing", "per_day"),
    [
        ({"every_seconds": 3600}, 24),
        ({"random_per_day": 7, "days": ["mon", "tue"]}, 2),
        ({"cron": "0,30 9-16 * * 1-5"}, 16 * 262 / 366),
        ({"cron": "0 3 * * *"}, 1),
    ],
)
def test_how_often_a_schedule_fires(timing: dict[str, Any], per_day: float) -> None:
    spec = ScheduleSpec(name="s", faults=("worker",), timing=timing, control_share=0.5)  # type: ignore[arg-type]
    assert firings_per_day(spec) == pytest.approx(per_day, rel=0.01)
    (made,) = facts_of(settings(schedules=(spec,))).schedules
    assert made.runs_per_day == pytest.approx(per_day / 2, rel=0.01)
    assert facts_of(settings(schedules=(spec.model_copy(update={"enabled": False}),))).schedules == ()


def test_the_inhibition_holds_back_symptoms_only() -> None:
    (one,) = inhibition()["inhibit_rules"]
    assert one["source_matchers"] == ['alertname="AftershockFaultActive"']
    assert one["equal"] == ["deployment"]
    name, _, value = one["target_matchers"][0].partition("=")
    held = {r["alert"] for r in (a.rule(FULL) for a in alerts(FULL)) if r["labels"].get(name) == value.strip('"')}
    assert held == {"AftershockErrorBudgetBurnFast", "AftershockIncident"}, "no alert about the monitor or a revert"
