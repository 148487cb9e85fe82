"""The HTTP layer over a real engine on fakes: codes, one-line errors, the token, and names that are only data."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from faults.entry import FaultEntry
from faults.none import NoFault
from monitor.api.app import make_app
from monitor.clock import SystemClock
from monitor.config.settings import GuardSpec, RunSpec, Settings
from monitor.live.hub import Hub
from monitor.live.timeline import timeline
from monitor.measure.columns import Columns
from monitor.model import Phase, Run, Verdict
from monitor.run.engine import Engine
from monitor.run.guard import ProbeView
from monitor.run.life import Parts
from monitor.serve import CannotServeError, serve
from tests.support.fakes import FakeStore, FakeTarget, FakeWitnesses
from tests.support.records import run as make_run

HERE = "http://127.0.0.1:8600"
SETTINGS: dict[str, Any] = {
    "deployment": {"endpoint": {"url": "http://127.0.0.1:1", "model": "m"}},
    "probes": [{"name": "chat"}],
}


class Reader(FakeStore):
    """A store of runs that were given."""

    def runs(self, **_: Any) -> tuple[list[Run], int]:
        return self.saved, len(self.saved)

    def incidents(self, limit: int = 50) -> list[Any]:
        return []

    def columns(self, start_ns: int, end_ns: int) -> Columns:
        return Columns.empty()

    def records(self, start_ns: int, end_ns: int, **_: Any) -> list[Any]:
        return []

    def gaps(self, start_ns: int, end_ns: int) -> list[Any]:
        return []

    def segments(self, since_ns: int) -> list[Any]:
        return []

    def minutes(self, start_ns: int, end_ns: int) -> list[Any]:
        return []

    def folded_until(self) -> None:
        return None

    def oldest_ns(self) -> None:
        return None


class Looked:
    """What a hub looks at: nothing happens."""

    def status(self) -> dict[str, Any]:
        return {"deployment": "<d>", "now_ns": self.now_ns()}

    def recent(self, seconds: float) -> list[Any]:
        return []

    def gaps_since(self, since_ns: int) -> list[Any]:
        return []

    def now_ns(self) -> int:
        return time.time_ns()


class Viewed:
    """The live view over a store of runs that were given."""

    def __init__(self, store: Reader) -> None:
        self.store = store
        self.hub = Hub(Looked(), ["chat"])

    async def series(self, seconds: int) -> dict[str, Any]:
        return {"step_seconds": 1, "probes": {}}

    def timeline(self, hours: float) -> dict[str, Any]:
        return timeline(self.store, [], time.time_ns(), hours)


class Face:
    """The service as the HTTP layer sees it."""

    def __init__(self, folder: Path, **api: str) -> None:
        self.settings = Settings(**SETTINGS, api=api)
        self.entries = {"none": FaultEntry(fault=NoFault())}
        self.store = Reader()
        self.reader = self.store
        self.view = Viewed(self.store)
        self.ready = (True, "")
        self.trouble: str | None = None
        parts = Parts(
            clock=SystemClock(),
            save=self.store.save_run,
            target=FakeTarget(),
            witnesses=FakeWitnesses(),
            spec=RunSpec(observe_seconds=0, horizon_seconds=1),
            state_root=folder,
            on_change=lambda _run: None,
        )
        self.engine = Engine(
            deployment="d",
            entries=self.entries,
            parts=parts,
            store=self.store,
            guard=GuardSpec(cooldown_seconds=0),
            probe_views=lambda: [ProbeView("chat", up=True, reason="", window_seconds=10, requests=100, bad=0)],
            store_trouble=lambda: self.trouble,
        )

    def status(self) -> dict[str, Any]:
        return {"deployment": "<d>", "stopped": None, "incident": None, "active_run": None, "probes": []}

    def schedules(self) -> list[dict[str, Any]]:
        return []

    def render_metrics(self, accept: str = "") -> tuple[bytes, str]:
        return b"aftershock_up 1\n", "text/plain"


@pytest.fixture
def face(tmp_path: Path) -> Face:
    return Face(tmp_path)


@pytest.fixture
def client(face: Face) -> Iterator[TestClient]:
    with TestClient(make_app(face), base_url=HERE) as made:
        yield made


def test_a_run_is_accepted(client: TestClient) -> None:
    answer = client.post("/api/v1/runs", json={"fault": "none", "requested_by": "test"})
    assert answer.status_code == 202
    assert Run.model_validate(answer.json()).fault_name == "none"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"fault": "nome"}, 404, "did you mean none?"),
        ({"fault": "none", "changes": {"speed": 3}}, 422, "none has no such parameter"),
        ({"fault": "none", "changes": {"kind": "process_kill"}}, 422, "kind cannot be changed"),
        ({"fault": "none", "force": True}, 422, "Extra inputs are not permitted"),
        ({}, 422, "body.fault: Field required"),
        ({"fault": "none", "requested_by": "a b\n"}, 422, "requested_by"),
    ],
)
def test_bad_requests_get_one_line(client: TestClient, body: dict[str, Any], code: int, words: str) -> None:
    answer = client.post("/api/v1/runs", json=body)
    assert answer.status_code == code
    assert words in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_a_body_that_is_no_text_gets_one_line(client: TestClient) -> None:
    answer = client.post("/api/v1/stop", content=b'{"reason": "\xff"}', headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (422, {"detail": "body: is not JSON in UTF-8"})


def test_a_wrong_method_names_the_right_ones(client: TestClient) -> None:
    answer = client.delete("/api/v1/runs")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert client.get("/api/v1/stop").headers["allow"] == "POST"
    assert client.get("/no/such/page").status_code == 404


def test_a_refusal_names_its_rule(face: Face, client: TestClient) -> None:
    face.trouble = "disk full"
    answer = client.post("/api/v1/runs", json={"fault": "none"})
    assert answer.status_code == 409
    assert (answer.json()["rule"], answer.json()["passing"]) == ("store", True)
    assert "disk full" in answer.json()["detail"]


def test_a_dry_run_says_why_it_would_be_refused(face: Face, client: TestClient) -> None:
    face.trouble = "disk full"
    answer = client.post("/api/v1/runs", json={"fault": "none", "dry_run": True})
    assert answer.status_code == 200
    assert "disk full" in answer.json()["would_be_refused"]
    assert answer.json()["passing"] is True
    assert face.store.saved == []


def test_a_store_that_refuses_is_503(face: Face, client: TestClient) -> None:
    face.store.refuse_from = 0
    answer = client.post("/api/v1/runs", json={"fault": "none"})
    assert answer.status_code == 503
    assert "disk full" in answer.json()["detail"]


def test_an_unknown_run_is_404(client: TestClient) -> None:
    answer = client.get("/api/v1/runs/r404")
    assert answer.status_code == 404
    assert "r404" in answer.json()["detail"]


def test_stop_and_resume(client: TestClient) -> None:
    assert client.post("/api/v1/stop", json={"reason": "night", "by": "t"}).json()["stopped"]["reason"] == "night"
    refused = client.post("/api/v1/runs", json={"fault": "none"}).json()
    assert "night" in refused["detail"]
    assert refused["passing"] is False
    assert client.post("/api/v1/runs", json={"fault": "none", "dry_run": True}).json()["passing"] is False
    assert client.post("/api/v1/resume", json={"by": "t"}).json() == {"stopped": None}
    assert client.post("/api/v1/runs", json={"fault": "none"}).status_code == 202


def test_not_ready_is_503_with_the_reason(face: Face, client: TestClient) -> None:
    face.ready = (False, "probes not sending: chat")
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["reason"]) == (503, "probes not sending: chat")


def test_a_token_is_asked_for_everywhere_but_by_the_health_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "s3cret")
    with TestClient(make_app(Face(tmp_path, token_env="SECRET_OF_TEST"))) as client:  # noqa: S106 - a variable's name
        for path in ("/metrics", "/docs", "/openapi.json", "/api/v1/status", "/api/v1/runs"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.post("/api/v1/stop", json={}).status_code == 401
        for path in ("/healthz", "/readyz", "/", "/runs/some-run", "/static/main.js"):
            assert client.get(path).status_code == 200, f"{path} holds no data"
        assert client.get("/api/v1/status", headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_a_token_variable_that_is_empty_is_no_token_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "")
    settings = Settings(**SETTINGS, data_dir=tmp_path, api={"token_env": "SECRET_OF_TEST"})
    with pytest.raises(CannotServeError, match="SECRET_OF_TEST, which is not set or empty"):
        serve(settings)


def test_the_page_has_every_address_of_it_and_no_way_out(client: TestClient) -> None:
    pages = {client.get(path).text for path in ("/", "/runs", "/runs/x", "/faults", "/faults/worker", "/schedule")}
    assert len(pages) == 1
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert client.get("/static/../app.py").status_code == 404
    assert client.get("/static/%2e%2e%2fapp.py").status_code == 404
    assert client.get("/static/none.js").status_code == 404
    assert client.get("/static/main.js").headers["content-type"].startswith("text/javascript")


def test_runs_in_brief(face: Face, client: TestClient) -> None:
    face.store.saved.append(make_run(1, verdict=Verdict.RECOVERED, phase=Phase.FINISHED))
    (found,) = client.get("/api/v1/runs", params={"brief": "true"}).json()["runs"]
    assert (found["verdict"], found["phase"]) == ("recovered", "finished")
    assert "transitions" not in found


FOREIGN = {"host": "evil.example:8600"}


@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 200, ""),
        ({"origin": HERE}, 200, ""),
        ({"host": "localhost:8600"}, 200, ""),
        ({"host": "[::1]:8600"}, 200, ""),
        (FOREIGN, 403, "evil.example:8600 is not this machine"),
        ({"host": "127.0.0.1.evil.example"}, 403, "is not this machine"),
        ({"origin": "http://evil.example"}, 403, "a page of http://evil.example may not change anything"),
        ({"origin": "http://127.0.0.1:9999"}, 403, "may not change anything"),
        ({"origin": "null"}, 403, "a page of null"),
        ({"sec-fetch-site": "cross-site"}, 403, "a page of another site"),
        ({"sec-fetch-site": "same-site"}, 403, "a page of another site"),
        ({"sec-fetch-site": "same-origin"}, 200, ""),
        ({"content-type": "text/plain"}, 415, "Content-Type must be application/json"),
        ({"content-type": "application/x-www-form-urlencoded"}, 415, "application/json"),
    ],
)
def test_a_foreign_page_can_change_nothing(
    client: TestClient, headers: dict[str, str], status: int, words: str
) -> None:
    sent = {"content-type": "application/json", **headers}
    answer = client.post("/api/v1/resume", content=b"{}", headers=sent)
    assert answer.status_code == status, answer.text
    assert words in answer.text


def test_a_foreign_name_reads_nothing_either(client: TestClient) -> None:
    assert client.get("/api/v1/status", headers=FOREIGN).status_code == 403
    assert client.get("/metrics", headers=FOREIGN).status_code == 403
    assert client.get("/healthz", headers=FOREIGN).status_code == 200


def test_with_a_token_any_name_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "s3cret")
    app = make_app(Face(tmp_path, token_env="SECRET_OF_TEST"))  # noqa: S106 - a variable's name
    with TestClient(app, base_url="http://aftershock.example") as client:
        headers = {"authorization": "Bearer s3cret", "origin": "https://proxy.example"}
        assert client.post("/api/v1/resume", json={}, headers=headers).status_code == 200


def test_one_listener_too_many_is_told_so(face: Face, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("monitor.live.hub.MOST_LISTENERS", 0)
    answer = client.get("/api/v1/live")
    assert answer.status_code == 503
    assert "listening already" in answer.json()["detail"]


def test_the_openapi_document_describes_every_path(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/v1/runs", "/api/v1/runs/{run_id}", "/api/v1/stop", "/healthz", "/metrics"} <= set(paths)
