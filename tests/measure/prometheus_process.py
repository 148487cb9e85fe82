"""A real Prometheus that scrapes scripted exporters, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from monitor.demo.debian import PROMETHEUS, find_program
from monitor.demo.provision import DEFAULT_FOLDER
from tests.support.debian import skip_or_fail

SCRAPE_SECONDS = 1


def prometheus_binary() -> str:
    """Where the program is; skips the test, with the reason, when it is nowhere."""
    found = find_program(PROMETHEUS, DEFAULT_FOLDER / "debian")
    if found is None:
        skip_or_fail("no prometheus on PATH or in .tools; `make tools` gets it")
    return str(found)


class Exporter:
    """Serves counters on loopback; what they say is set by the test. Closed, its port refuses."""

    def __init__(self) -> None:
        self.good = 0
        self.errors: dict[str, int] = {}
        self.silent = False
        self.workers: dict[str, float] | None = None
        """Uptime by worker_id; with it this is a worker and says nothing else."""
        self.port = free_port()
        self._server: asyncio.Server | None = None

    @property
    def instance(self) -> str:
        return f"127.0.0.1:{self.port}"

    def page(self) -> str:
        if self.workers is not None:
            name = "dynamo_component_uptime_seconds"
            lines = [f'{name}{{worker_id="{w}"}} {up}' for w, up in self.workers.items()]
            return "\n".join([*lines, "other_total 1"]) + "\n"
        lines = [f'dynamo_frontend_requests_total{{model="m",status="success",error_type=""}} {self.good}']
        lines += [
            f'dynamo_frontend_requests_total{{model="m",status="error",error_type="{kind}"}} {n}'
            for kind, n in self.errors.items()
        ]
        finished = self.good + sum(self.errors.values())
        lines += [
            f'dynamo_frontend_requests_started_total{{model="m"}} {finished + 2}',
            'dynamo_frontend_inflight_requests{model="m"} 3',
            f'dynamo_frontend_request_duration_seconds_sum{{model="m"}} {self.good * 0.25}',
            f'dynamo_frontend_request_duration_seconds_count{{model="m"}} {self.good}',
        ]
        return "\n".join(lines if not self.silent else ["other_total 1"]) + "\n"

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self.port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = self.page().encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Prometheus:
    """One process; `url` answers once it is ready."""

    def __init__(self, process: subprocess.Popen[bytes], port: int) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"

    def ask(self, query: str) -> float:
        """The value of an instant query with at most one series; 0 without."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False).json()
        result = answer["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def prometheus(folder: Path, instances: Sequence[str]) -> Iterator[Prometheus]:
    """Runs until the block ends."""
    binary, port = prometheus_binary(), free_port()
    config = folder / "prometheus.yml"
    targets = ", ".join(f'"{i}"' for i in instances)
    config.write_text(
        f"global: {{scrape_interval: {SCRAPE_SECONDS}s, scrape_timeout: {SCRAPE_SECONDS}s}}\n"
        f"scrape_configs: [{{job_name: frontend, static_configs: [{{targets: [{targets}]}}]}}]\n"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                binary,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(process, port, folder / "log")
        yield Prometheus(process, port)
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"http://127.0.0.1:{port}/-/ready", trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    pytest.fail(f"prometheus was not ready within 30 s: {log.read_text()}")
