"""Every dashboard, rule and metric on the scrape of a real deployment that met every verdict."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from dashboards.build import boards, dashboards
from dashboards.pictures.filling import Variables, with_values
from dashboards.pictures.pages import draw_all
from dashboards.pictures.window import Window
from monitor.demo.deployment import Deployment
from monitor.demo.prometheus import SCRAPE_SECONDS, Prometheus, ScrapeTarget
from monitor.demo.provision import Tools
from monitor.demo.topology import Topology
from monitor.export.metric_names import METRICS, Kind
from monitor.incidents import AFTER_RUN_NS
from tests.dashboards.queries import asked
from tests.e2e.test_runs import client_of, config
from tests.support.alertmanager import webhook
from tests.support.monitor import Monitor, free_port, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

VERDICTS = (
    "no_impact recovered not_recovered inconclusive not_injected aborted skipped revert_failed".split()  # noqa: SIM905 - reads best
)
MAY_BE_EMPTY = {
    ("aftershock-deployment", "Queues", "B"): "only Dynamo's KV router has it",
    ("aftershock-health", "Firings that started no run, in the range", "A"): "the schedule did not fire",
    ("aftershock-overview", "Fault active", "A"): "no fault acts at the end",
    ("aftershock-health", "Fault past its deadline", "A"): "no fault acts at the end",
}
PARTS = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}


@dataclass
class Lived:
    """What is left of the demo: its Prometheus, its last page, and when it began (UTC seconds)."""

    monitor: Monitor
    prometheus: Prometheus
    instance: str
    began: int

    def window(self) -> Window:
        return Window.of(self.prometheus.url, self.began, int(time.time()), scrape_seconds=SCRAPE_SECONDS)


def settings_of(deployment: Deployment, prometheus: str, otlp: int, told: str) -> dict[str, object]:
    """The demo's, with short windows: a lease of 10 s outlasts the horizon, and a revert gets no time at first."""
    made = config(deployment, prometheus=prometheus, traces={"http_listen": f"127.0.0.1:{otlp}"})
    short = {
        "baseline_seconds": 5,
        "hold_seconds": 3,
        "observe_seconds": 3,
        "horizon_seconds": 8,
        "revert_timeout_seconds": 0.000001,
    }
    nobody = {"kind": "process_kill", "component": "worker", "processes": {"pattern": "no such process"}}
    strict = {"objectives": {"recovery_seconds": 6, "failed_requests": 0}}
    faults = {
        "none": {"objectives": {"failed_requests": 0}},
        "worker": strict,
        "worker_stall": strict,
        "frontend": strict,
    }
    faults["nobody"] = {"fault": nobody}
    schedules = [{"name": "daily", "timing": {"cron": cron_far_from_now()}, "faults": ["none"]}]
    notify = [{"name": "hook", "kind": "webhook", "url": told}]
    return made | {"run": short, "faults": faults, "schedules": schedules, "notify": notify}


def cron_far_from_now() -> str:
    """A time of day that no test reaches: a firing among the runs would be one skipped run more."""
    then = datetime.now(UTC) + timedelta(hours=12)
    return f"{then.minute} {then.hour} * * *"


@pytest.fixture(scope="module")
def lived(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """A real Dynamo, monitor and Prometheus with our rules, after a run of every verdict and an incident."""
    folder = tmp_path_factory.mktemp("lived")
    otlp, api = free_port(), free_port()
    assert tools.prometheus is not None
    topology = Topology(workers=2, otlp_endpoint=f"http://127.0.0.1:{otlp}")
    with webhook() as (told, _), Deployment(topology, tools, folder / "dynamo", print) as deployment:
        rules = folder / "rules.yaml"
        targets = (*deployment.scrape_targets, ScrapeTarget("aftershock", f"127.0.0.1:{api}"))
        prometheus = Prometheus(tools.prometheus, targets, folder / "prometheus", print, rules=(rules,))
        with Monitor(settings_of(deployment, prometheus.url, otlp, told), folder / "monitor", port=api) as monitor:
            words = ("rules", "build", "-c", str(monitor.config_path), "-o", str(rules), "--scrape-interval", "1")
            built = monitor.cli(*words)
            assert built.returncode == 0, built.stderr
            began = int(time.time())
            with prometheus:
                monitor.start()
                go_through_everything(monitor, deployment)
                time.sleep(2 * SCRAPE_SECONDS)  # one scrape after the last event, for sure
                yield Lived(monitor, prometheus, f"127.0.0.1:{api}", began)


def go_through_everything(monitor: Monitor, deployment: Deployment) -> None:
    """One run of every verdict, then an incident."""
    seen = {}

    def finish(fault: str, expected: str, run_id: str | None = None) -> None:
        run = monitor.finished(run_id or monitor.inject(fault)["id"])
        assert run["verdict"] == expected, (fault, run["verdict"], run["reason"])
        seen[run["verdict"]] = run["id"]
        monitor.wait_steady()

    monitor.wait_steady()
    finish("none", "no_impact")
    finish("frontend", "recovered")
    finish("worker", "not_recovered")
    finish("nobody", "not_injected")

    aborted = monitor.inject("worker")["id"]
    monitor.wait_phase(aborted, "reverted")
    refused = monitor.post("/api/v1/runs", {"fault": "none"})
    assert refused.status_code == 409, refused.text
    seen["skipped"] = refused.json()["run_id"]
    monitor.post(f"/api/v1/runs/{aborted}/recover")
    finish("worker", "aborted", aborted)

    broken = monitor.inject("worker_stall", duration_seconds=60)["id"]
    monitor.wait_phase(broken, "effective")
    monitor.post(f"/api/v1/runs/{broken}/recover")
    finish("worker_stall", "revert_failed", broken)
    assert monitor.run(broken)["receipt_open"] is False, "it is tried again until it works"

    lame = monitor.inject("none")["id"]
    monitor.wait_phase(lame, "reverted")
    assert monitor.process is not None
    for child in psutil.Process(monitor.process.pid).children(recursive=True):
        if "aiperf" in " ".join(child.cmdline()):
            child.kill()
            break
    finish("none", "inconclusive", lame)

    last = monitor.run(lame)["t_finished"]
    wait_for("what breaks now to be nobody's run", lambda: time.time_ns() > last + AFTER_RUN_NS + 10**9 or None, 60)
    os.kill(frontend_pid(deployment), signal.SIGKILL)
    wait_for("an incident", lambda: monitor.status()["incidents_total"] or None, 60)
    wait_for("its end", lambda: monitor.status()["incident"] is None or None, 120)
    assert sorted(seen) == sorted(VERDICTS)


def frontend_pid(deployment: Deployment) -> int:
    found = json.loads((deployment.state / "instances.json").read_text(encoding="utf-8"))
    return int(next(one["pid"] for one in found if one["component"] == "frontend"))


def test_every_query_of_every_dashboard_has_data(lived: Lived) -> None:
    tiles = {(board.uid, tile.title): tile for board in boards() for tile in board.tiles}
    window = lived.window()
    chosen = Variables(instance=lived.instance, fault="frontend", range_seconds=window.until - window.since)
    empty = {}
    for board in dashboards().values():
        for one in asked(board):
            expr = with_values(one.expr, chosen)
            if not (window.ask(expr) if one.instant else window.over(expr)):
                empty[one.board, one.panel, one.ref] = expr
        for note in board["annotations"]["list"]:
            found = window.over(with_values(note["expr"], chosen))
            assert found or note["name"] in {"Emergency stop", "Alerts"}, (board["uid"], note["name"])
    assert not [key for key in empty if not tiles[key[0], key[1]].may_be_empty]
    assert set(empty) <= set(MAY_BE_EMPTY), empty


def test_every_dashboard_can_be_drawn_from_it(lived: Lived, tmp_path: Path) -> None:
    folder = Path(os.environ.get("AFTERSHOCK_PICTURES", tmp_path))
    written = list(draw_all(folder, lived.window(), fault="frontend", scrape_seconds=SCRAPE_SECONDS))
    assert [path.stem for path in written] == list(dashboards())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)


def test_the_runs_dashboard_tells_every_verdict(lived: Lived) -> None:
    found = lived.window().ask('sum by (verdict) (aftershock_fault_runs_total{job="aftershock"}) > 0')
    assert {one["metric"]["verdict"]: int(float(one["value"][1])) for one in found} == dict.fromkeys(VERDICTS, 1)


def test_the_overview_answers_the_three_questions_of_the_documents(lived: Lived) -> None:
    def says(panel: str, label: str) -> dict[str, float]:
        (one,) = (one for one in asked(dashboards()["overview"]) if one.panel == panel)
        found = lived.window().ask(with_values(one.expr, Variables(instance=lived.instance)))
        return {each["metric"][label]: float(each["value"][1]) for each in found}

    # Is it whole now? The panel looks at the last minute, and that an incident was a moment ago.
    wait_for("the deployment to be whole", lambda: says("Whole now?", "deployment") == {"dynamo": 1}, 120, every=1)

    # Which fault hurt most last week? By what the runs themselves say of the client.
    runs = lived.monitor.get("/api/v1/runs?limit=1000").json()["runs"]
    told = [(run["fault_name"], client_of(run)["failed_requests"] or 0) for run in runs if run["witnesses"]]
    hurt: Counter[str] = Counter()
    for fault, failed in told:
        hurt[fault] += failed
    shown = says("Which fault hurt most, last 7 days", "fault")
    assert max(shown, key=shown.__getitem__) == hurt.most_common(1)[0][0]
    assert shown == pytest.approx(dict(+hurt), rel=0.1), "Prometheus extrapolates to the edges of its samples"

    # What runs next?
    (planned,) = lived.monitor.get("/api/v1/schedules").json()["schedules"]
    assert says("Next run", "schedule") == {"daily": planned["next"][0]["at_ns"] / 1e6}


def test_every_rule_is_evaluated_without_trouble(lived: Lived) -> None:
    groups = httpx.get(f"{lived.prometheus.url}/api/v1/rules", trust_env=False).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 24
    assert [(rule["name"], rule["lastError"]) for rule in rules if rule["health"] != "ok"] == []
    recorded = {rule["name"] for rule in rules if rule["type"] == "recording"}
    assert recorded
    assert all(lived.window().ask(name) for name in recorded)


def test_the_table_of_metrics_is_what_is_scraped(lived: Lived) -> None:
    accept = {"accept": "application/openmetrics-text; version=1.0.0"}
    page = lived.monitor.http.get("/metrics", headers=accept).text
    families = {one.name: one for one in text_string_to_metric_families(page) if one.name.startswith("aftershock_")}
    told = {one.name.removesuffix("_total") if one.kind is Kind.COUNTER else one.name: one for one in METRICS}
    assert set(families) == set(told)
    for name, family in families.items():
        spec = told[name]
        assert family.type == PARTS[spec.kind], name
        assert family.documentation == spec.help, name
        samples = [one for one in family.samples if not one.name.endswith("_created")]
        assert samples, name
        assert all(labels_of(one) == set(spec.labels) for one in samples), name
        bounds = {float(one.labels["le"]) for one in samples if "le" in one.labels}
        assert bounds == {*spec.buckets, float("inf")} if spec.kind is Kind.HISTOGRAM else not bounds, name


def labels_of(sample: Sample) -> set[str]:
    return set(sample.labels) - {"le"}
