"""`aftershock dashboards` and `rules`, against a scripted Grafana over real HTTP."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboards.build import dashboards
from tests.cli.conftest import Cli

TOKEN = "glsa_secret"  # noqa: S105 - of a Grafana that is made up
Answer = tuple[int, Any]


@dataclass
class FakeGrafana:
    """Grafana's dashboard and folder API, as far as publishing uses it. Answers in `script` come first, by request."""

    url: str = ""
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    dashboards: dict[str, dict[str, Any]] = field(default_factory=dict)
    script: dict[str, list[Answer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)
    hanging: bool = False
    prefix: str = ""
    meddler: list[str] = field(default_factory=list)
    """Uids of dashboards that somebody saves between our read and our write."""

    def answer(self, method: str, path: str, token: str, body: dict[str, Any]) -> Answer:
        self.asked.append(f"{method} {path}")
        if self.hanging:
            self.hang.wait(20)
        for start, answers in self.script.items():
            if f"{method} {path}".startswith(start) and answers:
                return answers.pop(0)
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        if path.startswith("/api/folders"):
            return self._folder(method, path, body)
        if method == "GET" and path.startswith("/api/dashboards/uid/"):
            return self._get(path.rpartition("/")[2])
        if method == "POST" and path == "/api/dashboards/db":
            return self._save(body)
        return 404, {"message": "Not found"}

    def _folder(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        if method == "POST":
            self.folders[body["uid"]] = body
            return 200, body
        found = self.folders.get(path.rpartition("/")[2])
        return (200, found) if found else (404, {"message": "folder not found"})

    def _get(self, uid: str) -> Answer:
        found = self.dashboards.get(uid)
        if found is None:
            return 404, {"message": "Dashboard not found"}
        answer = copy.deepcopy(found)
        if uid in self.meddler:
            self.meddler.remove(uid)
            found["dashboard"]["version"] += 1
        return 200, answer

    def _save(self, body: dict[str, Any]) -> Answer:
        wanted = body["dashboard"]
        there = self.dashboards.get(wanted["uid"])
        if body["folderUid"] not in self.folders:
            return 400, {"message": "folder not found"}
        if there is not None and not body["overwrite"] and wanted.get("version") != there["dashboard"]["version"]:
            return 412, {"status": "version-mismatch", "message": "The dashboard has been changed by someone else"}
        version = there["dashboard"]["version"] + 1 if there else 1
        path = f"/d/{wanted['uid']}/x"
        self.dashboards[wanted["uid"]] = {
            "dashboard": {**wanted, "id": 7, "version": version},
            "meta": {"folderUid": body["folderUid"], "url": path},
        }
        return 200, {"status": "success", "uid": wanted["uid"], "version": version, "url": path}

    @property
    def writes(self) -> list[str]:
        return [one for one in self.asked if not one.startswith("GET")]


@pytest.fixture
def grafana(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGrafana]:
    fake = FakeGrafana()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            path = self.path.removeprefix(fake.prefix)
            status, content = fake.answer(self.command, path, self.headers.get("Authorization", ""), body)
            raw = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(content, str) else "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = _handle  # noqa: N815 - the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    fake.url = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setenv("GRAFANA_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield fake
    fake.hang.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


def publish(cli: Cli, fake: FakeGrafana, *more: str) -> Any:
    return cli("dashboards", "publish", "--grafana", fake.url, *more)


# --- publish --------------------------------------------------------------------------------------


def test_a_first_publish_makes_the_folder_and_every_dashboard(cli: Cli, grafana: FakeGrafana) -> None:
    done = publish(cli, grafana)
    assert done.code == 0, done.err
    assert grafana.folders["aftershock"]["title"] == "aftershock"
    for board in dashboards().values():
        stored = grafana.dashboards[board["uid"]]["dashboard"]
        assert {k: v for k, v in stored.items() if k not in {"id", "version"}} == board
    assert f"overview: created  {grafana.url}/d/aftershock-overview/x" in done.out


def test_again_changes_nothing(cli: Cli, grafana: FakeGrafana) -> None:
    publish(cli, grafana)
    grafana.asked.clear()
    done = publish(cli, grafana)
    assert done.code == 0
    assert done.out.count("unchanged") == 5
    assert grafana.writes == []


def test_only_what_differs_is_changed(cli: Cli, grafana: FakeGrafana) -> None:
    publish(cli, grafana)
    grafana.asked.clear()
    grafana.dashboards["aftershock-run"]["dashboard"]["title"] = "by hand"
    done = publish(cli, grafana)
    assert "run: changed" in done.out
    assert grafana.writes == ["POST /api/dashboards/db"]
    assert grafana.dashboards["aftershock-run"]["dashboard"]["title"] == "aftershock / Run"
    assert grafana.dashboards["aftershock-run"]["dashboard"]["version"] == 2


def test_a_dashboard_in_another_folder_is_moved(cli: Cli, grafana: FakeGrafana) -> None:
    publish(cli, grafana)
    grafana.dashboards["aftershock-run"]["meta"]["folderUid"] = "elsewhere"
    assert "moved into the folder aftershock" in publish(cli, grafana, "--dry-run").out
    assert "run: changed" in publish(cli, grafana).out
    assert grafana.dashboards["aftershock-run"]["meta"]["folderUid"] == "aftershock"


def test_a_dry_run_shows_the_difference_and_writes_nothing(cli: Cli, grafana: FakeGrafana) -> None:
    first = publish(cli, grafana, "--dry-run")
    assert first.code == 0
    assert "overview: would be created" in first.out
    assert grafana.writes == []
    publish(cli, grafana)
    grafana.asked.clear()
    grafana.dashboards["aftershock-run"]["dashboard"]["title"] = "by hand"
    done = publish(cli, grafana, "--dry-run")
    assert grafana.writes == []
    assert "run: would be changed" in done.out
    assert '-  "title": "by hand"' in done.out
    assert '+  "title": "aftershock / Run"' in done.out
    assert "overview: unchanged" in done.out
    body = json.loads(publish(cli, grafana, "--dry-run", "--json").out)
    assert {one["name"]: one["state"] for one in body["dashboards"]}["run"] == "changed"


def test_somebody_who_saves_in_between_is_overtaken_once(cli: Cli, grafana: FakeGrafana) -> None:
    publish(cli, grafana)
    grafana.dashboards["aftershock-run"]["dashboard"]["title"] = "by hand"
    grafana.meddler = ["aftershock-run"]
    done = publish(cli, grafana)
    assert done.code == 0
    assert grafana.dashboards["aftershock-run"]["dashboard"]["title"] == "aftershock / Run"


def test_somebody_who_keeps_saving_wins(cli: Cli, grafana: FakeGrafana) -> None:
    publish(cli, grafana)
    grafana.dashboards["aftershock-run"]["dashboard"]["title"] = "by hand"
    grafana.meddler = ["aftershock-run", "aftershock-run"]
    done = publish(cli, grafana)
    assert done.code == 1
    assert "somebody else keeps saving" in done.err
    assert grafana.dashboards["aftershock-run"]["dashboard"]["title"] == "by hand"


def test_another_dashboard_of_the_same_name_is_said(cli: Cli, grafana: FakeGrafana) -> None:
    grafana.script["POST /api/dashboards/db"] = [(412, {"status": "name-exists", "message": "same name exists"})]
    done = publish(cli, grafana)
    assert done.code == 1
    assert "Grafana refuses to save: same name exists" in done.err


def test_a_folder_that_appears_in_between_is_used(cli: Cli, grafana: FakeGrafana) -> None:
    grafana.folders["aftershock"] = {"uid": "aftershock", "title": "aftershock"}
    grafana.script["GET /api/folders"] = [(404, {"message": "not found"})]
    grafana.script["POST /api/folders"] = [(412, {"message": "a folder with that name already exists"})]
    assert publish(cli, grafana).code == 0


def test_grafana_below_a_path(cli: Cli, grafana: FakeGrafana) -> None:
    grafana.prefix = "/grafana"
    done = cli("dashboards", "publish", "--grafana", f"{grafana.url}/grafana")
    assert done.code == 0, done.err
    assert len(grafana.dashboards) == 5


def test_a_wrong_token(cli: Cli, grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFANA_TOKEN", "wrong-secret")
    done = publish(cli, grafana)
    assert done.code == 2
    assert "refuses the token (401)" in done.err
    assert "wrong-secret" not in done.err + done.out
    assert done.err.count("\n") == 1


def test_a_token_that_may_not_write(cli: Cli, grafana: FakeGrafana) -> None:
    grafana.script["POST /api/folders"] = [(403, {"message": "needs folders:create"})]
    done = publish(cli, grafana)
    assert done.code == 2
    assert "role Editor" in done.err


@pytest.mark.parametrize("token", [None, "  "])
def test_no_token(cli: Cli, grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch, token: str | None) -> None:
    monkeypatch.delenv("GRAFANA_TOKEN") if token is None else monkeypatch.setenv("GRAFANA_TOKEN", token)
    done = publish(cli, grafana)
    assert done.code == 2
    assert "GRAFANA_TOKEN is not set" in done.err
    assert grafana.asked == []


def test_a_grafana_that_hangs(cli: Cli, grafana: FakeGrafana) -> None:
    grafana.hanging = True
    done = publish(cli, grafana, "--timeout", "0.2")
    assert done.code == 3
    assert "does not answer within 0.2 s" in done.err


def test_nobody_there(cli: Cli, grafana: FakeGrafana, nobody: str) -> None:
    done = cli("dashboards", "publish", "--grafana", nobody)
    assert done.code == 3
    assert f"no Grafana at {nobody}" in done.err


@pytest.mark.parametrize("content", ["<html>hello</html>", ["a list"]])
def test_something_that_is_not_grafana(cli: Cli, grafana: FakeGrafana, content: Any) -> None:
    grafana.script["GET /"] = [(200, content)]
    done = publish(cli, grafana)
    assert done.code == 3
    assert "does not answer like Grafana" in done.err


def test_a_broken_grafana(cli: Cli, grafana: FakeGrafana) -> None:
    grafana.script["GET /api/dashboards"] = [(500, {"message": "database is locked"})]
    done = publish(cli, grafana)
    assert done.code == 1
    assert "answered 500: database is locked" in done.err


def test_an_address_without_its_scheme(cli: Cli, grafana: FakeGrafana) -> None:
    done = cli("dashboards", "publish", "--grafana", "grafana:3000")
    assert done.code == 2
    assert "http://" in done.err


# --- build ----------------------------------------------------------------------------------------


def test_dashboards_are_written(cli: Cli, tmp_path: Path) -> None:
    done = cli("dashboards", "build", str(tmp_path / "out"))
    assert done.code == 0
    assert (
        json.loads((tmp_path / "out" / "json" / "overview.json").read_text(encoding="utf-8"))
        == dashboards()["overview"]
    )
    assert str(tmp_path / "out" / "provisioning.yaml") in done.out


def test_a_place_that_cannot_be_written(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = cli("dashboards", "build", str(tmp_path / "file"))
    assert done.code == 2
    assert done.err.count("\n") == 1


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    body = {
        "deployment": {
            "name": "prod",
            "endpoint": {"url": "http://127.0.0.1:1", "model": "m"},
            "target": {"kind": "local", "attach": [{"component": "worker", "pattern": "no such process"}]},
        },
        "probes": [{"name": "chat", "request_rate": 3}],
        "faults": {"worker": {"objectives": {"recovery_seconds": 12}}},
        "schedules": [{"name": "daily", "faults": ["worker"], "timing": {"every_seconds": 3600}}],
        "slo": {"good_ratio": 0.995, "period_hours": 48},
    }
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def test_rules_are_written_from_the_configuration(cli: Cli, config: Path, tmp_path: Path) -> None:
    out = tmp_path / "rules.yaml"
    done = cli("rules", "build", "-c", str(config), "-o", str(out), "--runbooks", "https://runbooks.example/")
    assert (done.code, done.out) == (0, f"{out}\n")
    text = out.read_text(encoding="utf-8")
    listed = [one for group in yaml.safe_load(text)["groups"] for one in group["rules"]]
    assert any(one.get("expr") == "vector(0.995)" for one in listed)
    assert {one["labels"]["deployment"] for one in listed} == {"prod"}
    alert = next(one for one in listed if one.get("alert") == "AftershockProbeDown")
    assert alert["annotations"]["runbook_url"] == "https://runbooks.example/AftershockProbeDown.md"
    assert cli("rules", "build", "-c", str(config), "-o", "-", "--runbooks", "https://runbooks.example").out == text


def test_rules_of_a_broken_configuration(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text("probes: 3\n", encoding="utf-8")
    done = cli("rules", "build", "-c", str(path), "-o", "-")
    assert done.code == 2
    assert "deployment" in done.err
