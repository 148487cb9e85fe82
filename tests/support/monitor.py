"""A real `aftershock serve` process for tests, with its configuration and an API client."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self, TypeVar

import httpx
import psutil
import yaml

T = TypeVar("T")


def free_port() -> int:
    """A TCP port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, look: Callable[[], T | None], seconds: float = 60.0, every: float = 0.1) -> T:
    """The first truthy answer of `look`; AssertionError with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}"
        time.sleep(every)


class Monitor:
    """`aftershock serve` on a configuration; `with` stops it and checks that nothing is left."""

    def __init__(
        self, config: Mapping[str, Any], folder: Path, env: Mapping[str, str] | None = None, port: int | None = None
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.config = {"data_dir": str(folder / "data"), "api": {"listen": f"127.0.0.1:{self.port}"}} | dict(config)
        self.config_path = folder / "config.yaml"
        self.config_path.write_text(yaml.safe_dump(self.config), encoding="utf-8")
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = dict(os.environ) | dict(env or {})
        self.process: subprocess.Popen[bytes] | None = None
        self.http = httpx.Client(base_url=self.url, timeout=30.0)

    # --- life

    def start(self, *, ready: bool = True) -> Self:
        """Start (again) and wait until it answers; with `ready`, until its probes are sending."""
        log = (self.folder / "serve.log").open("ab")
        with log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "monitor.cli.app", "serve", "-c", str(self.config_path)],
                stdout=log,
                stderr=log,
                env=self.env,
                start_new_session=True,
            )
        wait_for("the service to answer", self._answers, 60)
        if ready:
            wait_for("the probes to send", lambda: self.get("/readyz", check=False).status_code == 200, 90)
        return self

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"serve ended with {self.process.returncode}: {self.log()[-2000:]}"
        try:
            return self.http.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        """What it wrote so far."""
        return (self.folder / "serve.log").read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Signal it and wait; returns its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()
        if self.process is None or self.process.poll() is not None:
            return
        family = psutil.Process(self.process.pid).children(recursive=True)
        try:
            self.stop()
        finally:
            if self.process.poll() is None:
                self.process.kill()
                self.process.wait(10)
            for child in family:
                if child.is_running():
                    child.kill()

    # --- API

    def get(self, path: str, *, check: bool = True) -> httpx.Response:
        response = self.http.get(path)
        if check:
            response.raise_for_status()
        return response

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> httpx.Response:
        return self.http.post(path, json=dict(body or {}))

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/api/v1/status").json()
        return found

    def inject(self, fault: str, **changes: Any) -> dict[str, Any]:
        """Begin a run and return it as it was accepted; fails the test when refused."""
        response = self.post("/api/v1/runs", {"fault": fault, "changes": changes})
        assert response.status_code == 202, response.text
        run: dict[str, Any] = response.json()
        return run

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/api/v1/runs/{run_id}").json()
        return found

    def wait_phase(self, run_id: str, phase: str, seconds: float = 120.0) -> dict[str, Any]:
        """The run once it has entered `phase` (or has finished)."""

        def look() -> dict[str, Any] | None:
            run = self.run(run_id)
            seen = {t["phase"] for t in run["transitions"]}
            return run if phase in seen or run["phase"] == "finished" else None

        return wait_for(f"run {run_id} to be {phase}", look, seconds)

    def finished(self, run_id: str, seconds: float = 240.0) -> dict[str, Any]:
        return self.wait_phase(run_id, "finished", seconds)

    def wait_steady(self, seconds: float = 90.0, fault: str = "none") -> None:
        """Wait until the guard would let a run begin."""

        def look() -> bool:
            dry = self.post("/api/v1/runs", {"fault": fault, "dry_run": True})
            return dry.status_code == 200 and dry.json()["would_be_refused"] is None

        wait_for("steady state", look, seconds, every=0.5)

    def cli(self, *args: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run the command line against this service."""
        env = self.env | {"AFTERSHOCK_URL": self.url, "NO_COLOR": "1", "COLUMNS": "160"}
        return subprocess.run(
            [sys.executable, "-m", "monitor.cli.app", *args],
            capture_output=True,
            text=True,
            env=env,
            timeout=seconds,
            check=False,
        )


@contextmanager
def supervised(document: Mapping[str, Any], state: Path) -> Iterator[Path]:
    """A running supervisor on a deployment document; yields its state folder; ends it and its children."""
    state.mkdir(parents=True, exist_ok=True)
    file = state.parent / f"{state.name}.yaml"
    file.write_text(yaml.safe_dump(dict(document)), encoding="utf-8")
    command = [sys.executable, "-m", "faults.targets.supervise", str(file), "--state", str(state)]
    with (state.parent / f"{state.name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)

    def all_ready() -> bool:
        file = state / "instances.json"
        return file.exists() and all(i["state"] == "ready" for i in json.loads(file.read_text(encoding="utf-8")))

    try:
        wait_for("the supervised processes to be ready", all_ready, 30)
        yield state
    finally:
        process.terminate()
        try:
            process.wait(25)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
