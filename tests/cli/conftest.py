"""A stub service that speaks the API over real HTTP, and the command line in this process."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from faults.base import Evidence, Instance, Process
from monitor.cli.app import run as run_cli
from monitor.model import ObjectiveResult, Phase, Resolution, Run, Transition, Verdict, WitnessReport
from tests.support.serving import served

T0 = 1_750_000_000_000_000_000


def make_run(run_id: str = "r0000000001", **changes: Any) -> Run:
    """A finished run with everything in it."""
    client = WitnessReport(
        witness="client",
        status="ok",
        verdict=Verdict.RECOVERED,
        t_impact=T0 + 10_000_000,
        t_first_good=T0 + 2_000_000_000,
        t_recovered=T0 + 2_500_000_000,
        error_window_seconds=2.49,
        bad_seconds=1.99,
        recovery_from_effect_seconds=2.4,
        failed_requests=7,
        requests=120,
        errors={"connection_refused": 5, "stream_cut": 2},
        baseline_bad_ratio=0.0,
        baseline_requests=300,
        resolution=Resolution(at_impact_seconds=0.1, at_recovery_seconds=0.1, text="0.1 s (10 requests/s)"),
    )
    server = WitnessReport(witness="server", status="inconclusive", reason="Prometheus does not answer")
    body: dict[str, Any] = {
        "id": run_id,
        "fault_name": "worker",
        "fault": {"kind": "process_kill", "component": ["worker"], "signal": "SIGKILL"},
        "deployment": "stub",
        "requested_by": "cli",
        "seed": 4711,
        "phase": Phase.FINISHED,
        "transitions": (
            Transition(phase=Phase.REQUESTED, at_ns=T0 - 500_000_000),
            Transition(phase=Phase.EFFECTIVE, at_ns=T0 + 100_000_000, note="pid 77 gone, SIGKILL (waitpid)"),
            Transition(phase=Phase.FINISHED, at_ns=T0 + 20_000_000_000),
        ),
        "instances": (
            Instance(
                component="worker",
                name="worker-0",
                processes=(Process(pid=77, start_ticks=1, command="python -m dynamo.mocker"),),
            ),
        ),
        "evidence": Evidence(summary="pid 77 gone, SIGKILL (waitpid)", at_monotonic_ns=5, details=("by its parent",)),
        "t_requested": T0 - 500_000_000,
        "t_inject": T0,
        "t_effect": T0 + 100_000_000,
        "t_finished": T0 + 20_000_000_000,
        "verdict": Verdict.RECOVERED,
        "witnesses": (client, server),
        "objective_results": (ObjectiveResult(objective="recovery_seconds", limit=5.0, value=2.4, met=True),),
        "notes": ("the clock was steady",),
        "observations": ("not brought back by us",),
    }
    return Run.model_validate(body | changes)


@dataclass
class Stub:
    """What the stub answers, and what it was asked."""

    url: str = ""
    runs: dict[str, Run] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    """Fixed answers by method and path, before all else."""
    unfold: list[Run] = field(default_factory=list)
    """Successive states of a run that is being waited for."""
    in_turn: list[tuple[int, Any]] = field(default_factory=list)
    """Answers to the next requests for runs and dry runs, before all else."""
    headers: list[dict[str, str]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: dict[str, Any], query: dict[str, str]) -> tuple[int, Any]:
        self.asked.append((method, path, body or query))
        fixed = self._fixed(method, path)
        if fixed is not None:
            return fixed
        if method == "GET" and path == "/api/v1/runs":
            return 200, {"runs": [r.model_dump(mode="json") for r in self.runs.values()], "total": 41}
        if method == "GET" and path.startswith("/api/v1/runs/"):
            return self._run(path.rpartition("/")[2])
        if method == "POST" and path == "/api/v1/runs" and self.unfold:
            return 202, self.unfold[0].model_dump(mode="json")
        if path == "/api/v1/status":
            return 200, STATUS
        return 404, {"detail": "no such page"}

    def _fixed(self, method: str, path: str) -> tuple[int, Any] | None:
        if (method, path) == ("POST", "/api/v1/runs") and self.in_turn:
            return self.in_turn.pop(0)
        return self.answers.get((method, path))

    def _run(self, run_id: str) -> tuple[int, Any]:
        if self.unfold and self.unfold[0].id == run_id:
            run = self.unfold.pop(0) if len(self.unfold) > 1 else self.unfold[0]
            return 200, run.model_dump(mode="json")
        found = next((r for r in self.runs.values() if r.id.startswith(run_id)), None)
        if found is None:
            return 404, {"detail": f"no run is called {run_id!r}"}
        return 200, found.model_dump(mode="json")


STATUS: dict[str, Any] = {
    "version": "0.1.0",
    "deployment": "stub",
    "stopped": {"since_ns": T0, "reason": "smoke", "by": "cli"},
    "active_run": make_run().model_dump(mode="json"),
    "probes": [
        {
            "name": "chat",
            "up": True,
            "request_rate": 10.0,
            "segment": 1,
            "last_start_ns": T0,
            "in_flight": 3,
            "overdue": 0,
            "sent": 1000,
            "recorded": 997,
            "lost": 0,
            "recent": {"window_seconds": 10.0, "requests": 100, "bad": 4, "failed": 3, "rate": 10.0},
        }
    ],
    "incident": {"id": 1, "start_ns": T0, "end_ns": None, "bad_requests": 9, "first_error": "connection refused"},
    "incidents_total": 2,
    "incidents": {
        "count": 2,
        "seconds": 34.5,
        "last": {"id": 2, "start_ns": T0, "end_ns": None, "bad_requests": 9, "first_error": "connection refused"},
    },
    "control_runs": {"clean": 58, "false_finding": 1, "inconclusive": 2, "rate_upper_95": 0.077949},
    "schedules": [{"name": "office", "next_ns": T0}],
    "sources": {"prometheus": {"up": False, "reason": "connection refused"}},
    "store": {"ok": False, "reason": "disk full"},
}


def stub_app(stub: Stub) -> FastAPI:
    app = FastAPI()

    @app.api_route("/{path:path}", methods=["GET", "POST"])
    async def everything(path: str, request: Request) -> JSONResponse:
        body = await request.json() if await request.body() else {}
        stub.headers.append(dict(request.headers))
        status, answer = stub.answer(request.method, f"/{path}", body, dict(request.query_params))
        return JSONResponse(answer, status_code=status)

    return app


@pytest.fixture(scope="session")
def server() -> Iterator[Stub]:
    """One HTTP server for all tests; `stub` empties it for each."""
    stub = Stub()
    with served(stub_app(stub)) as stub.url:
        yield stub


@pytest.fixture
def stub(server: Stub, monkeypatch: pytest.MonkeyPatch) -> Stub:
    """The stub service, empty, and known to the command line."""
    server.runs.clear()
    server.asked.clear()
    server.answers.clear()
    server.unfold.clear()
    server.headers.clear()
    monkeypatch.setenv("AFTERSHOCK_URL", server.url)
    return server


@dataclass(frozen=True)
class Result:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


Cli = Callable[..., Result]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command line in this process, through the same door as the console script."""
    monkeypatch.setattr("monitor.cli.wait.POLL_SECONDS", 0.01)

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        code = run_cli(arguments)
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err or "--debug" in arguments
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setenv("AFTERSHOCK_URL", url)
    return url
