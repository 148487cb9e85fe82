"""A real Dynamo deployment on loopback, from nothing to a real answer and back to nothing."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Self

import httpx

from faults.targets.state import InstanceInfo
from monitor.demo.errors import DemoError
from monitor.demo.model import write_model
from monitor.demo.ports import free_ports
from monitor.demo.prometheus import ScrapeTarget
from monitor.demo.provision import Tools
from monitor.demo.steps import Report
from monitor.demo.supervised import Supervised
from monitor.demo.topology import MODEL_NAME, Ports, Programs, Topology, document

_ANSWER_TOKENS = 16
_TELL_EVERY_SECONDS = 5.0
_TELL_CHANGES_AFTER_SECONDS = 1.0
_LOOK_EVERY_SECONDS = 0.2


class Deployment:
    """Starts, waits for a real answer, stops. Its methods block; an async caller uses a thread."""

    def __init__(self, topology: Topology, tools: Tools, folder: Path, report: Report) -> None:
        self.topology = topology
        self.folder = folder
        self.ports = Ports.assign(topology, free_ports(topology.ports_needed))
        self.url = f"http://127.0.0.1:{self.ports.frontend}"
        self.model = MODEL_NAME
        self.model_folder = folder / "model"
        """A tokenizer that fits the deployment, for aiperf."""
        self._programs = Programs(tools.dynamo_python, tools.nats, tools.etcd, self.model_folder)
        self._report = report
        self._supervised = Supervised(document(topology, self.ports, self._programs), folder, report)
        # Loopback is reached directly, whatever proxy the environment names.
        self._http = httpx.Client(base_url=self.url, timeout=10.0, trust_env=False)

    @property
    def state(self) -> Path:
        """The supervisor's state folder, for `deployment.target.supervisor_dir`."""
        return self._supervised.state

    @property
    def supervisor_pid(self) -> int:
        return self._supervised.pid

    @property
    def scrape_targets(self) -> tuple[ScrapeTarget, ...]:
        """Where the frontend and each worker publish their metrics."""
        frontend = ScrapeTarget("dynamo-frontend", f"127.0.0.1:{self.ports.frontend}", {"component": "frontend"})
        workers = (
            ScrapeTarget("dynamo-worker", f"127.0.0.1:{port}", {"component": role, "replica": f"{role}-{index}"})
            for role, ports in self.ports.system
            for index, port in enumerate(ports)
        )
        return frontend, *workers

    def instances(self) -> list[InstanceInfo]:
        """What the supervisor says of its instances."""
        return self._supervised.instances()

    def check_running(self) -> None:
        """Raises `DemoError` when the supervisor has ended by itself."""
        self._supervised.check_running()

    def start(self, timeout_seconds: float = 120.0) -> None:
        """Start all processes and wait for a real answer. Raises `DemoError` and leaves nothing when none comes."""
        write_model(self.model_folder)
        for stale in ("discovery", "etcd"):  # instances of an earlier start would be routed to
            shutil.rmtree(self.state / stale, ignore_errors=True)
        self._report(f"starting Dynamo ({self.topology}) at {self.url}")
        try:
            self._supervised.launch()
            self.wait_ready(timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def wait_ready(self, timeout_seconds: float = 120.0) -> None:
        """Wait until every instance is ready, the frontend sees every worker, and a real answer has come."""
        began = time.monotonic()
        said, said_at = "", began
        while (lacking := self.lacking()) is not None:
            now = time.monotonic()
            if now - began > timeout_seconds:
                raise DemoError(
                    f"Dynamo is not ready after {timeout_seconds:g} s, still waiting for {lacking}; "
                    f"its logs are in {self.state / 'logs'}"
                )
            quiet = now - said_at
            if not said or quiet >= _TELL_EVERY_SECONDS or (lacking != said and quiet >= _TELL_CHANGES_AFTER_SECONDS):
                said, said_at = lacking, now
                self._report(f"waiting for {lacking} ({now - began:.0f} s)")
            time.sleep(_LOOK_EVERY_SECONDS)
        self._report(f"Dynamo answers after {time.monotonic() - began:.1f} s")

    def lacking(self) -> str | None:
        """What is not there yet, in a few words; None when all is well."""
        self._supervised.check_running()
        instances = self._supervised.instances()
        starting = [f"{one.name} ({one.state})" for one in instances if one.state != "ready"]
        if not instances:
            return "the supervisor"
        if starting:
            return ", ".join(starting)
        try:
            return self._routes_lacking() or self._answer_lacking()
        except httpx.TransportError as error:
            return f"the frontend ({type(error).__name__})"

    def _routes_lacking(self) -> str | None:
        health = self._http.get("/health")
        if health.status_code != 200:
            return f"the frontend (/health answers {health.status_code})"
        workers = [one for one in health.json().get("instances", []) if one.get("endpoint") == "generate"]
        wanted = self.topology.worker_instances
        return None if len(workers) >= wanted else f"the frontend to see every worker ({len(workers)} of {wanted})"

    def _answer_lacking(self) -> str | None:
        """Health checks answer long before requests do; only an answer with the right length counts."""
        answer = self._http.post(
            "/v1/chat/completions",
            json={
                "model": self.model,
                "messages": [{"role": "user", "content": "hello"}],
                "max_tokens": _ANSWER_TOKENS,
                "ignore_eos": True,
            },
        )
        if answer.status_code != 200:
            return f"an answer (the frontend says {answer.status_code})"
        body = answer.json()
        tokens = body["usage"]["completion_tokens"]
        if tokens != _ANSWER_TOKENS:
            return f"a whole answer ({tokens} of {_ANSWER_TOKENS} tokens)"
        return None if body["choices"][0]["message"]["content"] else "an answer with text in it"

    def stop(self) -> list[str]:
        """Stop all processes; returns what had to be killed. May be called twice."""
        self._http.close()
        return self._supervised.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
