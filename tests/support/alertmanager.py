"""A real Alertmanager with a webhook that writes down what it is told."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import yaml

from monitor.demo.supervised import Supervised
from tests.support.monitor import free_port, wait_for


@dataclass
class Webhook:
    """Notifications, each as Alertmanager posts it."""

    got: list[dict[str, Any]] = field(default_factory=list)

    def alerts(self, status: str = "firing") -> list[Mapping[str, Any]]:
        """Alerts of all notifications with that status."""
        return [one for told in self.got for one in told["alerts"] if one["status"] == status]

    def names(self, status: str = "firing") -> set[str]:
        return {one["labels"]["alertname"] for one in self.alerts(status)}


@contextmanager
def webhook() -> Iterator[tuple[str, Webhook]]:
    """Its address and what it was told."""
    told = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Not on the tests' screen."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", told
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


@contextmanager
def alertmanager(program: Path, folder: Path, url: str, inhibition: Mapping[str, Any]) -> Iterator[str]:
    """A running Alertmanager (host:port) that tells the webhook of everything but `severity: info`."""
    folder.mkdir(parents=True)
    port = free_port()
    config = {
        "route": {
            "receiver": "people",
            "group_by": ["alertname"],
            # As in every real one: the alert that inhibits may come a scrape later than the one that it holds back.
            "group_wait": "5s",
            "group_interval": "1s",
            "routes": [{"matchers": ['severity="info"'], "receiver": "nobody"}],
        },
        "receivers": [{"name": "people", "webhook_configs": [{"url": url}]}, {"name": "nobody"}],
        **inhibition,
    }
    file = folder / "alertmanager.yml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    address = f"127.0.0.1:{port}"
    command = [
        *_with_templates(program),
        f"--config.file={file.resolve()}",
        "--storage.path={dir}/data",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    ready = {"http": f"http://{address}/-/ready", "timeout_seconds": 60}
    component = {"name": "alertmanager", "command": command, "ready": ready}
    supervised = Supervised({"name": "alertmanager", "components": [component]}, folder, print)
    supervised.launch()
    try:
        wait_for("Alertmanager", lambda: _ready(address), 60)
        yield address
    finally:
        assert supervised.stop() == []


def _with_templates(program: Path) -> list[str]:
    """Debian's program insists on templates below /usr/share. Unpacked and not installed, it finds them in a mount
    namespace of its own, which goes with the process."""
    wanted = Path("/usr/share/prometheus/alertmanager")
    if wanted.exists():
        return [str(program)]
    unpacked = program.resolve().parents[2] / "usr/share/prometheus/alertmanager"
    script = 'mount -t tmpfs none /usr/share && mkdir -p "$1" && cp "$2"/*.tmpl "$1" && shift 2 && exec "$@"'
    become_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *become_root, "--mount", "sh", "-c", script, "sh", str(wanted), str(unpacked), str(program)]


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
