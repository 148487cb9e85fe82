"""The monitor of the demo, as a process of its own, and how it is spoken to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from monitor.demo.errors import DemoError
from monitor.demo.steps import Report
from monitor.demo.supervised import Supervised
from monitor.model import Run

READY_SECONDS = 120.0
STEADY_SECONDS = 120.0
RUN_SECONDS = 300.0
LOOK_SECONDS = 0.5

Look = Callable[[Mapping[str, Any]], None]
"""Told of the service's status while the demo waits."""


class Service:
    """`aftershock serve` on a configuration. Blocks."""

    def __init__(self, config: Mapping[str, Any], folder: Path, report: Report) -> None:
        self.config_path = folder / "config.yaml"
        self.url = f"http://{config['api']['listen']}"
        self.data_dir = Path(config["data_dir"])
        self._config = config
        self._folder = folder
        self._report = report
        command = [sys.executable, "-m", "monitor.cli.app", "serve", "-c", str(self.config_path)]
        component = {
            "name": "monitor",
            "command": command,
            "ready": {"http": f"{self.url}/readyz", "timeout_seconds": READY_SECONDS},
            "restart": {"when": "never"},
        }
        self._supervised = Supervised({"name": "monitor", "components": [component]}, folder, report)
        self._http = httpx.Client(base_url=self.url, timeout=30.0, trust_env=False)

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self.config_path.write_text(yaml.safe_dump(dict(self._config), sort_keys=False), encoding="utf-8")
        self._report(f"starting the monitor at {self.url}")
        self._supervised.launch()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self._supervised.stop()

    def wait_ready(self, look: Look) -> None:
        """Until its probes are sending. Raises DemoError with the log's place."""
        self._wait("the monitor's probes to send", READY_SECONDS, self._ready, look)

    def wait_steady(self, look: Look) -> None:
        """Until the guard would let a run begin."""
        self._wait("steady state", STEADY_SECONDS, lambda: self._refusal() is None, look, self._refusal)

    def run(self, fault: str, look: Look) -> Run:
        """One run, from request to verdict."""
        answer = self._http.post("/api/v1/runs", json={"fault": fault, "requested_by": "demo"})
        if answer.status_code != 202:
            raise DemoError(f"{fault} was refused: {answer.json().get('detail', answer.text)}")
        run_id = answer.json()["id"]
        self._wait(f"run {run_id}", RUN_SECONDS, lambda: self.read(run_id).verdict is not None, look)
        return self.read(run_id)

    def read(self, run_id: str) -> Run:
        """A run as it stands."""
        answer = self._http.get(f"/api/v1/runs/{run_id}")
        answer.raise_for_status()
        return Run.model_validate(answer.json())

    def write_report(self, path: Path) -> Path:
        """All runs so far in one HTML file, as `aftershock report --all` makes it."""
        answer = self._http.get("/api/v1/report", params={"format": "html"})
        answer.raise_for_status()
        path.write_text(answer.text, encoding="utf-8")
        return path

    def status(self) -> dict[str, Any]:
        """The service at a glance."""
        found: dict[str, Any] = self._http.get("/api/v1/status").json()
        return found

    def check_running(self) -> None:
        """Raises DemoError when it has ended by itself."""
        self._supervised.check_running()
        if any(one.state == "exited" for one in self._supervised.instances()):
            raise DemoError(f"the monitor ended by itself; its log is in {self._supervised.state / 'logs'}")

    def _ready(self) -> bool:
        try:
            return self._http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _refusal(self) -> str | None:
        dry = self._http.post("/api/v1/runs", json={"fault": "none", "dry_run": True})
        refused: str | None = dry.json()["would_be_refused"]
        return refused

    def _wait(
        self,
        what: str,
        seconds: float,
        done: Callable[[], bool],
        look: Look,
        why: Callable[[], str | None] = lambda: None,
    ) -> None:
        deadline = time.monotonic() + seconds
        while not done():
            self.check_running()
            if time.monotonic() > deadline:
                raise DemoError(f"waited {seconds:g} s in vain for {what}{f': {reason}' if (reason := why()) else ''}")
            try:
                look(self.status())
            except httpx.TransportError:
                look({})
            time.sleep(LOOK_SECONDS)
