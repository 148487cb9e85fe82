"""A real Prometheus of our own: loopback, one-second scrapes, its data in our folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx
import yaml

from monitor.demo.errors import DemoError
from monitor.demo.ports import free_ports
from monitor.demo.steps import Report
from monitor.demo.supervised import Supervised

SCRAPE_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 0.1


@dataclass(frozen=True)
class ScrapeTarget:
    """One address that publishes /metrics."""

    job: str
    address: str
    """host:port"""
    labels: Mapping[str, str] = field(default_factory=dict)


def configuration(
    targets: Sequence[ScrapeTarget], *, rules: Sequence[Path] = (), alertmanager: str | None = None
) -> dict[str, Any]:
    """The content of prometheus.yml: one job for each job name, in the order given; `alertmanager` is host:port."""
    jobs: dict[str, list[dict[str, Any]]] = {}
    for target in targets:
        entry: dict[str, Any] = {"targets": [target.address]}
        if target.labels:
            entry["labels"] = dict(target.labels)
        jobs.setdefault(target.job, []).append(entry)
    interval = f"{SCRAPE_SECONDS:g}s"
    made: dict[str, Any] = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval},
        "scrape_configs": [{"job_name": job, "static_configs": entries} for job, entries in jobs.items()],
    }
    if rules:
        made["rule_files"] = [str(one) for one in rules]
    if alertmanager is not None:
        made["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return made


def document(program: Path, folder: Path, port: int) -> dict[str, Any]:
    """The supervisor's document."""
    command = [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        "--storage.tsdb.path={dir}/data",
        "--storage.tsdb.retention.time=7d",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    ready = {"http": f"http://127.0.0.1:{port}/-/ready", "timeout_seconds": 60}
    return {"name": "prometheus", "components": [{"name": "prometheus", "command": command, "ready": ready}]}


class Prometheus:
    """Starts, waits until it answers queries, stops. Blocks; an async caller uses a thread."""

    def __init__(
        self,
        program: Path,
        targets: Sequence[ScrapeTarget],
        folder: Path,
        report: Report,
        *,
        rules: Sequence[Path] = (),
        alertmanager: str | None = None,
    ) -> None:
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self._configuration = configuration(targets, rules=rules, alertmanager=alertmanager)
        self._folder = folder
        self._report = report
        self._supervised = Supervised(document(program, folder, port), folder, report)
        self._http = httpx.Client(base_url=self.url, timeout=5.0, trust_env=False)

    @property
    def state(self) -> Path:
        """State folder of its supervisor."""
        return self._supervised.state

    def start(self, timeout_seconds: float = 60.0) -> None:
        """Start it and wait until it answers. Raises `DemoError` and leaves nothing when it does not."""
        self._folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(self._configuration, sort_keys=False)
        (self._folder / "prometheus.yml").write_text(text, encoding="utf-8")
        self._report(f"starting Prometheus at {self.url}")
        try:
            self._supervised.launch()
            self._wait(timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def _wait(self, timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not self._ready():
            self._supervised.check_running()
            if time.monotonic() > deadline:
                raise DemoError(
                    f"Prometheus does not answer at {self.url} after {timeout_seconds:g} s; "
                    f"its log is in {self.state / 'logs'}"
                )
            time.sleep(_LOOK_EVERY_SECONDS)

    def _ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def up(self) -> dict[str, bool]:
        """For each address scraped so far: did the last scrape work?"""
        answer = self._http.get("/api/v1/query", params={"query": "up"})
        answer.raise_for_status()
        return {one["metric"]["instance"]: one["value"][1] == "1" for one in answer.json()["data"]["result"]}

    def stop(self) -> list[str]:
        """Stop it; returns what had to be killed. May be called twice."""
        self._http.close()
        return self._supervised.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
