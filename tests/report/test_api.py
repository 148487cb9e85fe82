"""Reports over HTTP, on a real store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from monitor.api.app import make_app
from monitor.report.model import RunReport, SoakReport
from monitor.store.store import Store
from tests.monitor.test_api import HERE, Face
from tests.report.build import one_run, soak
from tests.support.records import SECOND, T0


@pytest.fixture
def client(tmp_path: Path, store: Store) -> Iterator[TestClient]:
    face = Face(tmp_path)
    face.reader = store  # type: ignore[assignment]
    one_run(store)
    soak(store, hours=3)
    with TestClient(make_app(face), base_url=HERE) as made:
        yield made


def test_a_run(client: TestClient) -> None:
    answer = client.get("/api/v1/runs/r00000000003c/report")
    assert answer.status_code == 200, answer.text
    report = RunReport.model_validate(answer.json())
    assert report.run.fault_name == "worker"
    assert report.before is not None
    assert answer.json()["suite"]["rows"]


def test_a_run_as_a_page(client: TestClient) -> None:
    answer = client.get("/api/v1/runs/r00000000003c/report", params={"format": "html"})
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.text.startswith("<!doctype html>")


def test_a_period(client: TestClient) -> None:
    params = {"since_ns": T0 + 1000 * SECOND, "until_ns": T0 + 6000 * SECOND, "fault": "worker"}
    report = SoakReport.model_validate(client.get("/api/v1/report", params=params).json())
    assert (report.begin_ns, report.end_ns) == (params["since_ns"], params["until_ns"])
    assert [r.fault for r in report.runs] == ["worker"]


def test_everything_begins_with_the_oldest(client: TestClient, store: Store) -> None:
    report = SoakReport.model_validate(client.get("/api/v1/report").json())
    assert report.begin_ns == store.oldest_ns()
    assert len(report.runs) == 4
    assert client.get("/api/v1/report", params={"format": "md"}).text.startswith("# deployment")


def test_what_is_not_there(client: TestClient) -> None:
    assert client.get("/api/v1/runs/r9/report").status_code == 404
    upside_down = client.get("/api/v1/report", params={"since_ns": T0 + 1, "until_ns": T0})
    assert upside_down.status_code == 404
    assert "ends before it begins" in upside_down.json()["detail"]
    assert client.get("/api/v1/report", params={"format": "doc"}).status_code == 422


def test_a_period_of_all_times_is_answered(client: TestClient) -> None:
    report = SoakReport.model_validate(client.get("/api/v1/report", params={"since_ns": 0}).json())
    assert len(report.buckets) <= 301
    assert any("before it nothing is known" in line for line in report.missing)
