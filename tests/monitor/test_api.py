"""The HTTP layer over a real engine on fakes: codes, one-line errors, the token, and names that are only data."""

from __future__ import annotations

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
from monitor.measure.columns import Columns
from monitor.model import Run
from monitor.run.engine import Engine
from monitor.run.guard import ProbeView
from monitor.run.life import Parts
from monitor.serve import CannotServeError, serve
from tests.support.fakes import FakeStore, FakeTarget, FakeWitnesses
from tests.support.records import run as make_run

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


class Face:
    """The service as the HTTP layer sees it."""

    def __init__(self, folder: Path, **api: str) -> None:
        self.settings = Settings(**SETTINGS, api=api)
        self.entries = {"none": FaultEntry(fault=NoFault())}
        self.store = Reader()
        self.reader = self.store
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
            probe_views=lambda: [ProbeView("chat", up=True, reason="", requests=100, bad=0)],
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
    with TestClient(make_app(face)) as made:
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
    assert answer.json()["rule"] == "store"
    assert "disk full" in answer.json()["detail"]


def test_a_dry_run_says_why_it_would_be_refused(face: Face, client: TestClient) -> None:
    face.trouble = "disk full"
    answer = client.post("/api/v1/runs", json={"fault": "none", "dry_run": True})
    assert answer.status_code == 200
    assert "disk full" in answer.json()["would_be_refused"]
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
    assert "night" in client.post("/api/v1/runs", json={"fault": "none"}).json()["detail"]
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
        for path in ("/", "/metrics", "/docs", "/openapi.json", "/api/v1/status", "/api/v1/runs"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.post("/api/v1/stop", json={}).status_code == 401
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 200
        assert client.get("/api/v1/status", headers={"Authorization": "Bearer s3cret"}).status_code == 200


def test_a_token_variable_that_is_empty_is_no_token_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_TEST", "")
    settings = Settings(**SETTINGS, data_dir=tmp_path, api={"token_env": "SECRET_OF_TEST"})
    with pytest.raises(CannotServeError, match="SECRET_OF_TEST, which is not set or empty"):
        serve(settings)


def test_names_on_the_page_are_data(face: Face, client: TestClient) -> None:
    evil = "<script>alert(1)</script>"
    face.store.saved.append(make_run(1).model_copy(update={"fault_name": evil, "reason": evil}))
    page = client.get("/").text
    assert evil not in page
    assert "&lt;script&gt;" in page


def test_the_openapi_document_describes_every_path(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/api/v1/runs", "/api/v1/runs/{run_id}", "/api/v1/stop", "/healthz", "/metrics"} <= set(paths)
